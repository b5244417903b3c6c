"""Speed of a study: `kit study`, and the same grid as separate runs of transformers.Trainer with its defaults.

Both sides draw the same examples and are tested on the same examples. The peer fine-tunes with the Trainer, no argument
changed but the number of epochs if `--epochs` gives another than its own 3, with peft's adapters for LoRA; its probe
and TF-IDF are scikit-learn's logistic regression, on mean vectors of transformers' encoder and on words. Each of its
cells is a process of its own, as a script would be. Prints the wall time of each side, their ratio, every mean with its
interval, and what the study took beside its cells.
Kit chooses as it does by default, but for the number of epochs, which is the Trainer's. The two are compared on budgets
where both learn: with 40 labels the Trainer's 3 epochs are 15 steps, in which it does not begin to.

    python benchmarks/study.py [--budgets 80,160,320,640] [--seeds 2] [--epochs 3] [--workers 1] [--methods ...]
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

RECIPE = Path(__file__).parents[1] / "recipes" / "sentiment.yaml"
MAX_LENGTH = 128


def overrides_of(arguments: argparse.Namespace, runs: str) -> list[str]:
    """What the recipe is told."""
    grid = [f"study.budgets=[{arguments.budgets}]", f"study.seeds={arguments.seeds}"]
    grid += ["study.variants=null", f"study.methods=[{arguments.methods}]"]
    return [f"runs={runs}", f"train.epochs={arguments.epochs}", *grid]


def recipe_for(arguments: argparse.Namespace, runs: str, *more: str):  # noqa: ANN201
    """The recipe: both sides take data, budgets and seeds from it."""
    from kit.recipe import load_recipe

    return load_recipe(RECIPE, [*overrides_of(arguments, runs), *more])


def write_rows(arguments: argparse.Namespace, budget: int, seed: int, path: Path) -> None:
    """What a script of its own has at hand: texts and labels of one budget, the test set, the checkpoint."""
    from kit.data import prepare
    from kit.data.labels import encode_labels
    from kit.models.checkpoints.checkpoint import resolve_checkpoint

    recipe = recipe_for(arguments, "unused", f"data.budget={budget}", f"train.seed={seed}")
    data = prepare(recipe.data, seed)
    parts = (data.train, data.validation)
    content = {
        "texts": [row[0] for part in parts for row in part.texts],
        "labels": [int(label) for part in parts for label in encode_labels(part.labels, data.labels, data.multi_label)],
        "test": [row[0] for row in data.test.texts],
        "truth": encode_labels(data.test.labels, data.labels, data.multi_label).tolist(),
        "checkpoint": str(resolve_checkpoint(recipe.model).folder),
        "lora": {"r": recipe.lora.r, "lora_alpha": recipe.lora.alpha, "target_modules": recipe.lora.targets},
    }
    path.write_text(json.dumps(content), "utf-8")


def run_peer_cell(arguments: argparse.Namespace) -> list[int]:
    """One cell as a script of its own would do it: whether each test example is answered right."""
    rows = json.loads(Path(arguments.rows).read_text("utf-8"))
    texts, labels, test = rows["texts"], rows["labels"], rows["test"]
    if arguments.method in ("tfidf", "probe"):
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        if arguments.method == "tfidf":
            words = TfidfVectorizer().fit(texts)
            known, asked = words.transform(texts), words.transform(test)
        else:
            known, asked = mean_vectors(rows["checkpoint"], texts), mean_vectors(rows["checkpoint"], test)
        answers = LogisticRegression().fit(known, labels).predict(asked)
    else:
        with tempfile.TemporaryDirectory() as folder:
            answers = trainer_answers(arguments, rows, folder)
    return [int(answer == true) for answer, true in zip(answers, rows["truth"], strict=True)]


def mean_vectors(checkpoint: str, texts: list[str]):  # noqa: ANN201
    """Sentence vectors as the model cards of sentence encoders show it: batches as they come, mean of the tokens."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(checkpoint), AutoModel.from_pretrained(checkpoint).eval()
    found = []
    for start in range(0, len(texts), 32):
        batch = tokenizer(
            texts[start : start + 32], padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt"
        )
        with torch.inference_mode():
            hidden = model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1).float()
        found.append(torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1))
    return torch.cat(found).numpy()


def trainer_answers(arguments, rows, folder):  # noqa: ANN001, ANN201
    """transformers.Trainer as its documentation shows it, no argument changed but the number of epochs."""
    import numpy as np
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments, set_seed

    checkpoint, test = rows["checkpoint"], rows["test"]
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)

    def dataset(texts, targets) -> Dataset:  # noqa: ANN001
        return Dataset.from_dict({**tokenizer(texts, truncation=True, max_length=MAX_LENGTH), "labels": targets})

    set_seed(arguments.seed)
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, num_labels=2)
    if arguments.method == "lora":
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", modules_to_save=["classifier"], **rows["lora"]))
    settings = TrainingArguments(
        output_dir=folder, num_train_epochs=arguments.epochs, seed=arguments.seed, disable_tqdm=True
    )
    learned = dataset(rows["texts"], rows["labels"])
    trainer = Trainer(model=model, args=settings, train_dataset=learned, processing_class=tokenizer)
    trainer.train()
    return np.asarray(trainer.predict(dataset(test, [0] * len(test))).predictions).argmax(1)


def run_peer(arguments: argparse.Namespace, folder: str) -> tuple[float, dict[tuple[str, int], list[list[int]]]]:
    """Every cell in a fresh process: wall time in seconds, and the answers by method and budget."""
    found: dict[tuple[str, int], list[list[int]]] = {}
    for budget in map(int, arguments.budgets.split(",")):
        for seed in range(arguments.seeds):
            write_rows(arguments, budget, seed, Path(folder) / f"{budget}-{seed}.json")
    began = time.perf_counter()
    for method in arguments.methods.split(","):
        for budget in map(int, arguments.budgets.split(",")):
            for seed in range(arguments.seeds):
                rows = f"{folder}/{budget}-{seed}.json"
                command = [sys.executable, __file__, "--method", method, "--rows", rows, "--seed", str(seed)]
                command += ["--epochs", str(arguments.epochs)]
                done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
                if done.returncode != 0:
                    sys.exit(f"{method} {budget} failed:\n{done.stderr[-3000:]}")
                found.setdefault((method, budget), []).append(json.loads(done.stdout.strip().splitlines()[-1]))
                seconds = time.perf_counter() - began
                print(f"peer: {method} {budget} seed {seed} done at {seconds:.0f} s", file=sys.stderr)
    return time.perf_counter() - began, found


def run_kit(
    arguments: argparse.Namespace, runs: str
) -> tuple[float, dict[tuple[str, int], list[list[int]]], float, float]:
    """`kit study` as a user types it: wall time, answers, seconds of its runs, and of their training and testing."""
    from kit.measurement.speed import speeds_from_json
    from kit.records.record import Record

    recipe = recipe_for(arguments, runs)
    command = [str(Path(sys.executable).parent / "kit"), "study", str(RECIPE), "--json", "--workers"]
    command += [str(arguments.workers)]
    for override in overrides_of(arguments, runs):
        command += ["--set", override]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    wall = time.perf_counter() - began
    if done.returncode != 0:
        sys.exit(f"kit study failed:\n{done.stderr[-3000:]}")
    found: dict[tuple[str, int], list[list[int]]] = {}
    total = busy = 0.0
    for path in Path(recipe.runs).glob("*/record.json"):
        record = Record.read(path.parent)
        predictions = record.predictions()
        truth = [record.labels.index(names[0]) for names in predictions.labels]
        right = (predictions.outputs.argmax(1) == truth).astype(int).tolist()
        content = record.to_dict()
        found.setdefault((content["method"], content["data"]["sizes"]["budget"]), []).append(right)
        total += content["seconds"]["total"]
        busy += content["seconds"]["fit"] + content["seconds"]["test"]
    for path in Path(recipe.runs).glob("*/speed.json"):  # latencies are measured too, once per series
        timing = sum(speed.seconds for speed in speeds_from_json(path.read_bytes()).values())
        total, busy = total + timing, busy + timing
    return wall, found, total, busy


def environment() -> dict[str, str]:
    """No network, and a cache that the run before did not fill."""
    return {**os.environ, "HF_HUB_OFFLINE": "1"}


def mean_of(answers: list[list[int]]):  # noqa: ANN201
    """Mean accuracy over seeds with kit's interval for seeds and test examples."""
    import numpy as np

    from kit.analysis.points import Run, metric_samples, point
    from kit.measurement.measure import LabelMeasure

    logits = [np.stack([1 - np.array(row), np.array(row)], axis=1).astype(float) for row in answers]
    truth = np.ones(len(answers[0]), np.int64)
    values, samples = metric_samples(logits, truth, LabelMeasure("accuracy"))
    runs = [Run(str(k), k, float(values[k]), np.array(row, bool), samples[k]) for k, row in enumerate(answers)]
    return point(1, runs).estimate


def main() -> None:
    """Run both sides, one after the other, and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budgets", default="80,160,320,640")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--methods", default="finetune,probe,tfidf")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--method")
    parser.add_argument("--rows")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.method:
        print(json.dumps(run_peer_cell(arguments)))
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KIT_CACHE"] = f"{folder}/cache"
        kit_seconds, kit_found, total, busy = run_kit(arguments, f"{folder}/runs")
        print(f"kit study: {kit_seconds:.0f} s", file=sys.stderr)
        peer_seconds, peer_found = run_peer(arguments, folder)
    inside = 0
    print(f"{'':18}{'Trainer, separate runs':>28}{'kit study':>28}")
    for key in sorted(peer_found):
        peer, kit = mean_of(peer_found[key]), mean_of(kit_found[key])
        agree = peer.low <= kit.value <= peer.high and kit.low <= peer.value <= kit.high
        inside += agree
        mark = "" if agree else "  outside the other's interval"
        print(f"{key[0]:10}{key[1]:>8}{peer.format(percent=True):>28}{kit.format(percent=True):>28}{mark}")
    cells = len(peer_found) * arguments.seeds
    overhead, around = kit_seconds * arguments.workers / total - 1, kit_seconds * arguments.workers / busy - 1
    print(f"{cells} cells: {peer_seconds:.0f} s separately, {kit_seconds:.0f} s by kit study: ratio "
          f"{peer_seconds / kit_seconds:.2f}")  # fmt: skip
    print(f"the study took {overhead:.1%} more than its runs ({total:.0f} s), {around:.1%} more than their training "
          f"and testing alone ({busy:.0f} s)")  # fmt: skip
    summary = {
        "ratio": round(peer_seconds / kit_seconds, 2),
        "peer_seconds": round(peer_seconds),
        "kit_seconds": round(kit_seconds),
        "overhead_over_runs": round(overhead, 3),
        "overhead_over_training_and_testing": round(around, 3),
        "means_inside": inside,
        "means": len(peer_found),
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
