"""Distillation: its speed against a loop that runs the teacher in every step, and what students keep of their teachers.

    python benchmarks/distill.py speed                         # wall time at 4 epochs, one loss on logits
    python benchmarks/distill.py table [--data sentiment]      # teacher, control, student; 3 seeds
    python benchmarks/distill.py table --set distill.texts=null --set distill.sentences=null --set train.epochs=4
                                                               # budget and pool alone
    python benchmarks/distill.py curve [--data sentiment]      # gain over the control against the number of labels

The peer of `speed` is transformers.Trainer with its defaults and a `compute_loss` that asks the teacher, as in public
examples; both sides have the same teacher, student, texts, epochs and test examples, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BANKING77 = ROOT.parent / "shared" / "data" / "banking77"
OF_SPEED = ("distill.student=layers:0,2,5", "distill.texts=null", "distill.sentences=null")  # budget and pool alone
MAX_LENGTH, TEMPERATURE = 128, 2.0


def recipe_for(data: str, runs: str, *overrides: str):  # noqa: ANN201
    """The shipped recipe, or the same on BANKING77 with ten labels a class."""
    from kit.recipe import load_recipe

    if data == "sentiment":
        return load_recipe(ROOT / "recipes" / "sentiment-distill.yaml", [f"runs={runs}", *overrides])
    own = [f"data.source={BANKING77}", f"runs={runs}", "method=distill"]
    return load_recipe(ROOT / "recipes" / "intent.yaml", [*own, *overrides])


def run_kit(teacher: str, runs: str, epochs: float) -> dict[str, float]:
    """The student by kit, with an empty cache: the teacher answers once."""
    from kit.records.record import Record
    from kit.runs.execute import finetune

    recipe = recipe_for("sentiment", runs, f"distill.teacher={teacher}", f"train.epochs={epochs}", *OF_SPEED)
    began = time.perf_counter()
    record = finetune(recipe, quiet=True)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "accuracy": Record.load(record.folder).metrics["accuracy"].value}


def run_peer(teacher: str, runs: str, epochs: float) -> dict[str, float]:
    """The same student by a loop that asks the teacher in every step."""
    import numpy as np
    import torch
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments, set_seed

    import kit.models.architectures.pooled  # noqa: F401  the architecture of the teacher's file
    from kit.data import prepare
    from kit.data.distillation_texts import transfer_set
    from kit.data.labels import encode_labels
    from kit.distillation.students.layers import require_shape, shrink

    recipe = recipe_for("sentiment", runs, *OF_SPEED)
    data = prepare(recipe.data, 0)
    texts = transfer_set(recipe.distill, data, 0).texts
    folder = Path(teacher) / "model"
    began = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    taught = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    student = shrink(taught, require_shape(recipe.distill.student, folder))

    def tokens(rows: list[tuple[str, ...]], labels: list[int]) -> Dataset:
        encoded = tokenizer([row[0] for row in rows], truncation=True, max_length=MAX_LENGTH)
        return Dataset.from_dict({**encoded, "labels": labels})

    class Distiller(Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
            inputs.pop("labels")
            outputs = model(**inputs)
            with torch.no_grad():
                theirs = taught(**inputs).logits
            loss = torch.nn.functional.kl_div(
                torch.log_softmax(outputs.logits / TEMPERATURE, -1),
                torch.log_softmax(theirs / TEMPERATURE, -1),
                reduction="batchmean",
                log_target=True,
            )
            loss = loss * TEMPERATURE**2
            return (loss, outputs) if return_outputs else loss

    set_seed(0)
    with tempfile.TemporaryDirectory() as output:
        arguments = TrainingArguments(
            output_dir=output, num_train_epochs=epochs, save_strategy="no", disable_tqdm=True, seed=0
        )
        trainer = Distiller(
            model=student, args=arguments, train_dataset=tokens(texts, [0] * len(texts)), processing_class=tokenizer
        )
        trainer.train()
        truth = encode_labels(data.test.labels, data.labels, data.multi_label)
        with torch.inference_mode():
            student.eval()
            answers = []
            for start in range(0, len(truth), 64):
                rows = [row[0] for row in data.test.texts[start : start + 64]]
                batch = tokenizer(rows, truncation=True, max_length=MAX_LENGTH, padding=True, return_tensors="pt")
                answers.append(student(**batch).logits.argmax(-1).numpy())
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "accuracy": float((np.concatenate(answers) == truth).mean())}


def speed(arguments: argparse.Namespace) -> None:
    """Each side in a process of its own, one after the other."""
    from kit.runs.derived_recipes import teacher_recipe
    from kit.runs.execute import finetune

    with tempfile.TemporaryDirectory() as runs:
        teacher = arguments.teacher or str(finetune(teacher_recipe(recipe_for("sentiment", runs)), quiet=True).folder)
        found = {}
        for side in ("kit", "peer"):
            with tempfile.TemporaryDirectory() as own:
                command = [sys.executable, __file__, "speed", "--side", side, "--teacher", teacher, "--runs", own]
                command += ["--epochs", str(arguments.epochs)]
                environment = {**os.environ, "KIT_CACHE": f"{own}/cache", "HF_HUB_OFFLINE": "1"}
                done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
            if done.returncode != 0:
                sys.exit(f"{side} failed:\n{done.stderr[-3000:]}")
            found[side] = json.loads(done.stdout.strip().splitlines()[-1])
            print(f"{side}: {found[side]['seconds']:.0f} s, accuracy {found[side]['accuracy']:.3f}", flush=True)
    ratio = found["peer"]["seconds"] / found["kit"]["seconds"]
    print(json.dumps({"ratio": round(ratio, 2), **{f"{k}_{n}": v for k, s in found.items() for n, v in s.items()}}))


def table(arguments: argparse.Namespace) -> None:
    """Students of half and of a third of the teacher's layers, each with its control."""
    from kit.workflows.distill import distill

    for student in arguments.students.split(";"):
        recipe = recipe_for(arguments.data, arguments.runs, f"distill.student={json.dumps(student)}", *arguments.set)
        done = distill(recipe, seeds=arguments.seeds, controls=not arguments.no_controls)
        print(f"{arguments.data}, student {student}, {arguments.seeds} seeds")
        for kind in ("students", "controls"):
            values = [record.metrics[record.main_metric].value for record in getattr(done, kind)]
            print(f"  {kind}: {' '.join(f'{100 * value:.1f}' for value in values)}")
        for line in done.verdict.lines:
            print(f"  {line}", flush=True)


def curve(arguments: argparse.Namespace) -> None:
    """The gain over the control at growing budgets: where it ends."""
    from kit.workflows.distill import distill

    print(f"{'labels':>8}{'teacher':>10}{'student':>10}{'control':>10}  gain")
    for budget in map(int, arguments.budgets.split(",")):
        done = distill(
            recipe_for(arguments.data, arguments.runs, f"data.budget={budget}", *arguments.set), seeds=arguments.seeds
        )
        verdict = done.verdict
        values = [verdict.teacher, verdict.student, verdict.control]
        shown = "".join(f"{100 * each.value:>10.1f}" for each in values if each)
        print(f"{budget:>8}{shown}  {verdict.gain.size if verdict.gain else ''}", flush=True)


def main() -> None:
    """Parse and run one of the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "table", "curve"])
    parser.add_argument("--data", choices=["sentiment", "banking77"], default="sentiment")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--students", default="layers:0,1,2;layers:0,1", help="separated by semicolons")
    parser.add_argument("--set", action="append", default=[], help="keys of the recipe, of table and curve")
    parser.add_argument("--no-controls", action="store_true")
    parser.add_argument("--budgets", default="100,500,2000")
    parser.add_argument("--runs", default="runs")
    parser.add_argument("--epochs", type=float, default=4)
    parser.add_argument("--teacher", help="of speed: the folder of a run; fine-tuned first if absent")
    parser.add_argument("--side", choices=["peer", "kit"])
    arguments = parser.parse_args()
    if arguments.side:
        side = run_peer if arguments.side == "peer" else run_kit
        print(json.dumps(side(arguments.teacher, arguments.runs, arguments.epochs)))
        return
    {"speed": speed, "table": table, "curve": curve}[arguments.what](arguments)


if __name__ == "__main__":
    main()
