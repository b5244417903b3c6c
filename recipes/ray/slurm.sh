#!/usr/bin/env bash
# A study on a Slurm cluster whose nodes share this folder: sbatch recipes/ray/slurm.sh recipes/sentiment.yaml
#
# The job starts Ray on every node, and the study on the first node. When the study ends, Ray ends on all nodes. Submit the
# job again to continue an interrupted study. If the nodes share no folder, add --storage URL to the last line.
#SBATCH --job-name=kit-study
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --mem=32G
#SBATCH --time=08:00:00
#SBATCH --output=kit-study-%j.log
set -euo pipefail

recipe=${1:?usage: sbatch recipes/ray/slurm.sh RECIPE}
source .venv/bin/activate

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# Derive the port from the job id, so that jobs on the same node do not use the same port.
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --all-ip-addresses | cut -d " " -f 1):$((10000 + SLURM_JOB_ID % 20000))

# Pass the cores and GPUs of the job, because Ray would otherwise use all those of the node. At the end, this command stops
# every Ray process of your account on each node, also those of other jobs.
# Since Slurm 22.05, srun does not inherit --cpus-per-task.
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus "$SLURM_CPUS_PER_TASK" --num-gpus "${SLURM_GPUS_ON_NODE:-0}" -- \
    kit study "$recipe" --engine ray --address "$address"
