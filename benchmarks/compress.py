"""Compression: chains of steps against the fine-tuned teacher in eager PyTorch, and against its plain int8 graph.

For every seed: teacher, student, chain (found again if they are there). Then accuracy and what is retained over all
seeds, and speed, memory and size of the first seed's models, each in a process of its own, in turns.

    python benchmarks/compress.py [--seeds 3] [--runs runs] [--rounds 5] [--steps vocabulary,int8-onnx ...] [--no-gate]
                                  [--set distill.student=layers:0,1,2 ...]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

RECIPE = Path(__file__).parents[1] / "recipes" / "sentiment-compress.yaml"


def arguments_given() -> argparse.Namespace:
    """What was asked for; `set` has all that is said of the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", default="runs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", action="append", help="a chain; may be given several times")
    parser.add_argument("--set", action="append", default=[], help="keys of the recipe")
    parser.add_argument("--no-gate", action="store_true", help="keep every step, whatever it costs")
    arguments = parser.parse_args()
    if arguments.no_gate:
        arguments.set += ["compress.gate.retained=null", "compress.gate.agreement=null"]
    return arguments


def main() -> None:
    """Make or find all models, then print the two tables."""
    arguments = arguments_given()
    chains = arguments.steps or ["vocabulary, {int8-onnx: {embeddings: int4}}", "int4-onnx"]
    from kit.analysis.distillation_verdict import Cost, SeedOutputs, judge
    from kit.data.labels import encode_labels
    from kit.measurement.measure import LabelMeasure
    from kit.recipe import load_recipe
    from kit.recipe.load import override_recipe
    from kit.records.record import Record
    from kit.runs.derived_recipes import compression_recipe
    from kit.workflows.bench import bench
    from kit.workflows.compress import compress

    teachers, students, plain = [], [], []
    finals: dict[str, list[Record]] = {steps: [] for steps in chains}
    for seed in range(arguments.seeds):
        for steps in chains:
            given = [f"runs={arguments.runs}", f"train.seed={seed}", f"compress.steps=[{steps}]", *arguments.set]
            began = time.perf_counter()
            done = compress(load_recipe(RECIPE, given))
            seconds = time.perf_counter() - began
            for line in done.lines:
                print(f"seed {seed}: {line}", flush=True)
            print(f"seed {seed}: {steps} took {seconds:.0f} s", flush=True)
            finals[steps].append(done.record)
        students.append(done.source)
        teachers.append(Record.load(done.source.recipe.distill.teacher))
        direct = override_recipe(compression_recipe(teachers[-1].folder), ["compress.steps=[int8-onnx]"])
        open_gate = override_recipe(direct, ["compress.gate.retained=null"])
        plain.append(compress(open_gate, quiet=True).record)

    def logits(records: list[Record]) -> list:
        return [record.predictions().outputs for record in records]

    targets = encode_labels(teachers[0].predictions().labels, teachers[0].labels, False)
    none = Cost(1, 1, None)
    kinds = {"student": students, "teacher, int8 by ONNX Runtime": plain, **finals}
    for name, records in kinds.items():
        answers = [
            SeedOutputs(seed, *pair, None)
            for seed, pair in enumerate(zip(logits(records), logits(teachers), strict=True))
        ]
        found = judge(answers, targets, LabelMeasure("accuracy", ordered=True), budget=2000, costs=(none, none))
        assert found.retained is not None
        retained, agreement = found.retained.format(percent=True), found.agreement.format(percent=True)
        print(f"{name}: {found.student.format(percent=True)}, teacher {found.teacher.format(percent=True)}")
        print(f"  retained {retained}, agrees on {agreement}", flush=True)
    subjects = bench(
        [group[0].folder for group in (teachers, students, plain, *finals.values())], rounds=arguments.rounds
    )
    for subject in subjects:
        ratios = [] if subject.speedups is None else [each.format() for each in subject.speedups]
        size = f"{subject.size_bytes / 1e6:.1f} MB (1/{subjects[0].size_bytes / subject.size_bytes:.1f})"
        print(f"{subject.name} ({subject.backend}): {subject.p50_ms:.2f} ms, {subject.texts_per_second:.0f} texts/s")
        print(f"  {size}, {subject.memory_bytes / 1e6:.0f} MB resident, faster {ratios}")
    for steps, last in zip(finals, subjects[-len(finals) :], strict=True):
        assert last.speedups is not None
        print(json.dumps({
            "chain": steps,
            "p50_ratio": round(last.speedups[0].value, 2), "throughput_ratio": round(last.speedups[1].value, 2),
            "size_ratio": round(subjects[0].size_bytes / last.size_bytes, 2),
        }))  # fmt: skip


if __name__ == "__main__":
    main()
