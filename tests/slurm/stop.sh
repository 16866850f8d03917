#!/usr/bin/env bash
# Stop what start.sh started, and the jobs that run on it.
set -uo pipefail
S=${HUMWATCH_SLURM:-/tmp/humwatch-slurm}
[ -d "$S/run" ] || exit 0
scancel --state=PENDING,RUNNING --user=root 2>/dev/null
for daemon in slurmd slurmctld munged; do
    if [ -f "$S/run/$daemon.pid" ]; then kill "$(cat "$S/run/$daemon.pid")"; fi
done
rm -rf /etc/slurm/slurm.conf /etc/slurm/gres.conf "$S"
