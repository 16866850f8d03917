#!/usr/bin/env bash
# Install and start a Slurm of one node on this machine: partitions cpu and gpu, two pretended GPUs (/dev/null, /dev/zero).
# For tests on Debian or Ubuntu, as root: no systemd, no cgroups, no accounting. Stop it with stop.sh. A second call does nothing.
# Its four CPUs are pretended too, so that what runs side by side does not depend on the machine.
set -euo pipefail
S=${HUMWATCH_SLURM:-/tmp/humwatch-slurm}
HOST=$(hostname -s)

if [ -e /etc/slurm/slurm.conf ] && ! grep -q '^ClusterName=humwatch$' /etc/slurm/slurm.conf; then
    echo "this machine belongs to another Slurm: its /etc/slurm/slurm.conf is left alone" >&2
    exit 1
fi
if sinfo --noheader 2>/dev/null | grep -q .; then
    echo "the Slurm is running already"
    exit 0
fi
if ! dpkg --status slurmctld slurmd slurm-client munge >/dev/null 2>&1; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge
fi

rm -rf "$S"
mkdir -p /etc/slurm "$S"/{etc,state,spool,log,run}
chmod 755 "$S" "$S/run"
# In /etc/slurm, because Snakemake's executor drops SLURM_CONF from the environment of jobs.
cat >/etc/slurm/slurm.conf <<CONF
ClusterName=humwatch
SlurmctldHost=$HOST(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$S/run/munge.socket
CryptoType=crypto/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=100000,bf_interval=1,batch_sched_delay=0
SwitchType=switch/none
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=3600
KillWait=5
StateSaveLocation=$S/state
SlurmdSpoolDir=$S/spool
SlurmctldPidFile=$S/run/slurmctld.pid
SlurmdPidFile=$S/run/slurmd.pid
SlurmctldLogFile=$S/log/slurmctld.log
SlurmdLogFile=$S/log/slurmd.log
SlurmctldPort=16817
SlurmdPort=16818
GresTypes=gpu
NodeName=$HOST NodeAddr=127.0.0.1 CPUs=4 RealMemory=$(awk '/MemTotal/{print int($2/1024*0.9)}' /proc/meminfo) Gres=gpu:2 State=UNKNOWN
PartitionName=cpu Nodes=$HOST Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
PartitionName=gpu Nodes=$HOST Default=NO MaxTime=INFINITE State=UP OverSubscribe=NO
CONF
printf 'NodeName=%s Name=gpu File=/dev/null\nNodeName=%s Name=gpu File=/dev/zero\n' "$HOST" "$HOST" >/etc/slurm/gres.conf

dd if=/dev/urandom bs=1 count=1024 of="$S/etc/munge.key" status=none
chmod 400 "$S/etc/munge.key"
munged --force --key-file="$S/etc/munge.key" --socket="$S/run/munge.socket" --pid-file="$S/run/munged.pid" \
    --log-file="$S/log/munged.log" --seed-file="$S/state/munge.seed"
slurmctld
slurmd -N "$HOST"
for _ in $(seq 100); do
    sinfo --noheader --format %T 2>/dev/null | grep -q idle && exit 0
    sleep 0.2
done
echo "Slurm did not start: see $S/log" >&2
exit 1
