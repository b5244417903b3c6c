#!/usr/bin/env bash
# A study on a Slurm cluster whose nodes share this folder: sbatch recipes/ray/slurm.sh recipes/sentiment.yaml
#
# Ray is started on every node of the job, the study on the first; all end with it. Submitted again, it continues.
# Nodes that share no folder: add --storage URL to the last line.
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
# A port of this job's own, for jobs that share a node.
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --all-ip-addresses | cut -d " " -f 1):$((10000 + SLURM_JOB_ID % 20000))

# Ray would take all cores and GPUs of a node, of which the job may have a part. On each node it stops, at the end, every
# Ray of yours.
# srun does not take over --cpus-per-task (Slurm 22.05 and later).
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus "$SLURM_CPUS_PER_TASK" --num-gpus "${SLURM_GPUS_ON_NODE:-0}" -- \
    kit study "$recipe" --engine ray --address "$address"
