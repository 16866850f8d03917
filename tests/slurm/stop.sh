#!/usr/bin/env bash
# Stop what start.sh started, and the jobs that run on it.
set -uo pipefail
S=${HUMWATCH_SLURM:-/tmp/humwatch-slurm}
[ -d "$S/run" ] && grep -qs "^ClusterName=humwatch\$" /etc/slurm/slurm.conf || exit 0
timeout 10 scancel --user="$(id -un)"
for daemon in slurmd slurmctld munged; do
    pid=$(cat "$S/run/$daemon.pid" 2>/dev/null) || continue
    kill "$pid" 2>/dev/null
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null && sleep 0.1; done  # they write their state to the end
done
rm -rf /etc/slurm/slurm.conf /etc/slurm/gres.conf "$S"
