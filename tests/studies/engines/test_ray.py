"""A real Ray cluster of two nodes on this machine, one of which is lost during a study.

Records are passed through a storage only.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from kit.errors import OutputError
from kit.recipe import load_recipe
from kit.workflows.study import study
from tests.conftest import Kit
from tests.workflows.test_study import Start, table

# By default, Ray looks for a lost node for 15 seconds.
LOST_AFTER_SECONDS = {
    "health_check_initial_delay_ms": 1_000, "health_check_period_ms": 500, "health_check_failure_threshold": 4,
}  # fmt: skip
VARIANTS = "[tfidf, probe, finetune, {name: half, of: finetune, steps: [float16]}]"
GRID = [f"study.variants={VARIANTS}", "study.budgets=[20, 40]", "study.seeds=1", "data.budget=null"]


@pytest.mark.timeout(600)
def test_losing_one_of_two_nodes_gives_the_same_table(
    recipe_file: Path, tmp_path: Path, start: Start, kit_forked: Kit
) -> None:
    from ray.cluster_utils import Cluster

    inline_runs = tmp_path / "here"
    inline_options = [part for override in [*GRID, f"runs={inline_runs}"] for part in ("--set", override)]
    one = {"OMP_NUM_THREADS": "1"}  # as many as a task of one core gets
    alone = kit_forked("study", recipe_file, "--engine", "inline", *inline_options, **one)
    assert alone.code == 0, alone.err
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": LOST_AFTER_SECONDS}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    # Ray does not check the number of GPUs: networks request a quarter of one, TF-IDF none.
    nodes = [cluster.add_node(num_cpus=1, num_gpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    runs, storage = tmp_path / "ray", tmp_path / "storage"
    options = [part for override in [*GRID, f"runs={runs}"] for part in ("--set", override)]
    process = start(
        "study",
        recipe_file,
        "--engine",
        "ray",
        "--address",
        cluster.address,
        "--storage",
        f"file://{storage}",
        *options,
    )
    try:
        deadline = time.monotonic() + 400  # each node imports its libraries first, on a busy machine slowly
        while len(list(runs.glob("study-recipe/cells/*.json"))) < 2:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        cluster.remove_node(nodes[0], allow_graceful=False)
        out, err = process.communicate()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        cluster.shutdown()
    assert process.returncode == 0, out + err
    assert table(runs / "study-recipe") == table(inline_runs / "study-recipe")
    kept = {path.parent.name for path in storage.glob("*/record.json")}
    assert kept == {path.parent.name for path in runs.glob("*/record.json")}


def test_an_unreachable_cluster_is_one_line(recipe_file: Path) -> None:
    recipe = load_recipe(recipe_file, GRID)
    with pytest.raises(OutputError, match="no Ray cluster responds there") as caught:
        study(recipe, engine="ray", address="127.0.0.1:1", quiet=True)
    assert "ray start --head" in caught.value.hint
