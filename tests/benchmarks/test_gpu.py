"""The benchmark of GPUs: its whole code path on a CPU, and what it says where there is no GPU."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tests.conftest import Kit

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
SIDES = ("Trainer", "Trainer, bf16", "kit", "kit, no padding")


def test_it_asks_for_a_gpu(kit_forked: Kit) -> None:
    done = kit_forked(program=str(BENCHMARK))
    assert (done.code, done.out) == (2, "")
    assert done.err == "needs a CUDA GPU, and torch sees none; --try-on-cpu tries the code path\n"


def test_every_side_of_every_model_is_measured(kit_forked: Kit) -> None:
    done = kit_forked("--try-on-cpu", program=str(BENCHMARK), OMP_NUM_THREADS="1")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "tiny models on a CPU, to try the code path: the figures mean nothing"
    expected = [(model, side) for model in ("MiniLM", "BERT-base", "BERT-large") for side in SIDES]
    expected.append(("BERT-large", "kit, QLoRA"))
    summary = json.loads(lines[-1])
    rows = summary["rows"]
    assert [(row["model"], row["side"]) for row in rows] == expected
    assert [(line[:12].rstrip(), line[12:28].rstrip()) for line in lines[3:-2]] == expected
    figures = [summary["gemm_tflops"], summary["teacher_texts_per_second"]]
    for row in rows:
        names = ["samples_per_second", "kit_times_as_fast", "peak_mb"] + ["utilisation"] * (row["side"] != "kit, QLoRA")
        assert list(row) == ["model", "side", *names]
        figures += [row[name] for name in names]
    assert all(math.isfinite(figure) and figure > 0 for figure in figures)
    ours = {row["model"]: row for row in rows if row["side"] == "kit"}
    for row in rows:
        ratio = ours[row["model"]]["samples_per_second"] / row["samples_per_second"]
        assert row["kit_times_as_fast"] == pytest.approx(ratio, rel=0.02, abs=0.02)
