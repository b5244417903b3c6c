"""The shipped files for clusters are valid and match kit."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import typer
import yaml

from kit.cli.app import app

FOLDER = Path(__file__).parents[3] / "recipes" / "ray"


def require_valid_study(command: str) -> None:
    """Fail unless `kit study` has the options of the command."""
    program, verb, *arguments = shlex.split(command)
    assert (program, verb) == ("kit", "study")
    study = typer.main.get_command(app).commands["study"]  # type: ignore[attr-defined]
    parameters = study.make_context("study", [str(FOLDER / "kuberay.yaml"), *arguments[1:]]).params
    assert parameters["engine"] == "ray"
    assert parameters["address"]


def test_the_kuberay_file_is_a_valid_job() -> None:
    (job,) = yaml.safe_load_all((FOLDER / "kuberay.yaml").read_text("utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert job["metadata"]["name"]
    require_valid_study(job["spec"]["entrypoint"])
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    assert len(groups) == 2
    for group in groups:
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        (container,) = group["template"]["spec"]["containers"]
        assert {"name", "image", "resources"} <= container.keys()
        assert container["resources"]["requests"] == container["resources"]["limits"]
    worker = cluster["workerGroupSpecs"][0]
    assert worker["groupName"]
    assert worker["minReplicas"] <= worker["replicas"] <= worker["maxReplicas"]


def test_the_slurm_script_is_valid() -> None:
    script = FOLDER / "slurm.sh"
    subprocess.run(["bash", "-n", script], check=True)
    lines = script.read_text("utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    directives = {line.split("=")[0] for line in lines if line.startswith("#SBATCH ")}
    assert {"#SBATCH --nodes", "#SBATCH --ntasks-per-node", "#SBATCH --cpus-per-task"} <= directives
    require_valid_study(lines[-1])
