"""Speed of a study: `kit study`, and the same grid as separate scripts of a user who knows transformers.

Both sides draw the same examples and are tested on the same examples. Each cell of the peer is a process of its own:

- finetune, lora: transformers.Trainer with its defaults (peft's adapters for LoRA), except for `--epochs`;
- student: a Trainer with a distillation loss, on the labelled texts and `POOL` texts without labels; the student has
  the first two layers of the fine-tuned model;
- int8, tiny: torch.onnx.export of the fine-tuned model or the student, and ONNX Runtime's quantize_dynamic;
- probe, tfidf: scikit-learn's logistic regression on mean vectors of the encoder and on words;
- one more process times all models of the largest budget in a loop, as `kit study` does at its end.

kit trains with its defaults, except for the number of epochs of finetune and student, which is that of the peer.
Budgets should be large enough for the Trainer: with 40 labels its 3 epochs are 15 steps, in which it does not begin to
learn.

Prints the wall time of both sides with the ratio per repeat and its 95 % interval, every mean with its interval, and
what the study took beside its cells. Each repeat has other seeds.

    python benchmarks/study.py                                        # methods
    python benchmarks/study.py --variants finetune,student,int8,tiny,tfidf --budgets 320,640 --seeds 1 --repeats 3
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RECIPE = Path(__file__).parents[1] / "recipes" / "sentiment.yaml"
MAX_LENGTH, BATCH, POOL = 128, 32, 640
TEMPERATURE = 2.0
SOURCES = {"student": "finetune", "int8": "finetune", "tiny": "student"}
TIMED_TEXTS, ROUNDS = 48, 3
Answers = dict[tuple[str, int], list[list[int]]]  # whether each test example is right, by variant, budget and seed


def variants_of(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the variants of kit's study."""
    epochs = {"train.epochs": arguments.epochs}
    student = {**epochs, "distill.student": "layers:0,1", "distill.pool": POOL}
    own: dict[str, dict[str, Any]] = {
        "finetune": {"method": "finetune", "set": epochs},
        "student": {"method": "distill", "of": "finetune", "set": student},
        "int8": {"of": "finetune", "steps": ["int8-onnx"]},
        "tiny": {"of": "student", "steps": ["int8-onnx"]},
    }
    return [{"name": name, **own.get(name, {"method": name})} for name in arguments.variants.split(",")]


def write_recipe(arguments: argparse.Namespace, seeds: list[int], runs: str, path: Path) -> None:
    """Write the recipe of kit's study: that of sentiment analysis, with another grid."""
    import yaml

    content = yaml.safe_load(RECIPE.read_text("utf-8"))
    budgets = [int(budget) for budget in arguments.budgets.split(",")]
    content |= {"runs": runs, "study": {"variants": variants_of(arguments), "budgets": budgets, "seeds": seeds}}
    content["train"]["epochs"] = arguments.epochs
    path.write_text(yaml.safe_dump(content), "utf-8")


def write_rows(recipe_path: Path, budget: int, seed: int, path: Path) -> None:
    """Write what a script starts from: texts and labels of one budget, the test set, texts without labels."""
    from kit.data import prepare
    from kit.data.labels import encode_labels
    from kit.models.checkpoints.checkpoint import resolve_checkpoint
    from kit.recipe import load_recipe

    recipe = load_recipe(recipe_path, [f"data.budget={budget}", f"train.seed={seed}"])
    data = prepare(recipe.data, seed)
    parts = (data.train, data.validation)
    content = {
        "texts": [row[0] for part in parts for row in part.texts],
        "labels": [int(label) for part in parts for label in encode_labels(part.labels, data.labels, data.multi_label)],
        "pool": [row[0] for row in data.pool.texts[:POOL]],
        "test": [row[0] for row in data.test.texts],
        "truth": encode_labels(data.test.labels, data.labels, data.multi_label).tolist(),
        "checkpoint": str(resolve_checkpoint(recipe.model).folder),
        "lora": {"r": recipe.lora.r, "lora_alpha": recipe.lora.alpha, "target_modules": recipe.lora.targets},
    }
    path.write_text(json.dumps(content), "utf-8")


def run_script(arguments: argparse.Namespace) -> Any:
    """Run one script of the peer and return its result: whether each test example is right, or times of models."""
    rows = json.loads(Path(arguments.rows).read_text("utf-8"))
    folder = Path(arguments.models)
    if arguments.script == "timing":
        return timing_loop(arguments.variants.split(","), folder, rows["test"])
    if arguments.script in ("tfidf", "probe"):
        predicted = linear_predictions(arguments.script, rows, folder)
    elif arguments.script in ("int8", "tiny"):
        quantize(folder / SOURCES[arguments.script], folder / arguments.script, rows["texts"][:2])
        predicted = predictor_of(folder / arguments.script)(rows["test"])
    else:
        predicted = trainer_predictions(arguments, rows, folder)
    return [int(one == true) for one, true in zip(predicted, rows["truth"], strict=True)]


def linear_predictions(method: str, rows: dict[str, Any], folder: Path):  # noqa: ANN201
    """Return the predictions of a logistic regression, and save it."""
    import pickle

    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    if method == "probe":
        learned, tested = (mean_vectors(rows["checkpoint"], rows[name]) for name in ("texts", "test"))
        return LogisticRegression().fit(learned, rows["labels"]).predict(tested)
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(rows["texts"], rows["labels"])
    (folder / method).mkdir()
    (folder / method / "model.pkl").write_bytes(pickle.dumps(model))
    return model.predict(rows["test"])


def mean_vectors(checkpoint: str, texts: list[str]):  # noqa: ANN201
    """Return sentence vectors as the model cards of sentence encoders show it: the mean of the token vectors."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(checkpoint), AutoModel.from_pretrained(checkpoint).eval()
    vectors = []
    for start in range(0, len(texts), BATCH):
        batch = tokenizer(
            texts[start : start + BATCH], padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt"
        )
        with torch.inference_mode():
            hidden = model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1).float()
        vectors.append(torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1))
    return torch.cat(vectors).numpy()


def trainer_predictions(arguments: argparse.Namespace, rows: dict[str, Any], folder: Path):  # noqa: ANN201
    """Train with transformers.Trainer as its documentation shows it, save the model, and return its predictions."""
    import numpy as np
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments, set_seed

    tokenizer = AutoTokenizer.from_pretrained(rows["checkpoint"])

    def dataset(texts: list[str], **columns: Any) -> Dataset:
        return Dataset.from_dict({**tokenizer(texts, truncation=True, max_length=MAX_LENGTH), **columns})

    set_seed(arguments.seed)
    trainer_class = Trainer
    if arguments.script == "student":
        texts = [*rows["texts"], *rows["pool"]]
        teacher = folder / SOURCES["student"]
        learned = dataset(texts, labels=torch_logits(teacher)(texts).tolist())
        model = AutoModelForSequenceClassification.from_pretrained(teacher, num_hidden_layers=2)
        trainer_class = distillation_trainer()
    else:
        learned = dataset(rows["texts"], labels=rows["labels"])
        model = AutoModelForSequenceClassification.from_pretrained(rows["checkpoint"], num_labels=2)
    if arguments.script == "lora":
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", modules_to_save=["classifier"], **rows["lora"]))
    with tempfile.TemporaryDirectory() as scratch:
        settings = TrainingArguments(
            output_dir=scratch, num_train_epochs=arguments.epochs, seed=arguments.seed, disable_tqdm=True
        )
        trainer = trainer_class(model=model, args=settings, train_dataset=learned, processing_class=tokenizer)
        trainer.train()
        trainer.save_model(str(folder / arguments.script))
        return np.asarray(trainer.predict(dataset(rows["test"])).predictions).argmax(1)


def distillation_trainer():  # noqa: ANN201
    """Return a Trainer that learns the probabilities of a teacher (Hinton et al. 2015)."""
    import torch
    from transformers import Trainer

    class DistillationTrainer(Trainer):
        """A Trainer whose labels are the logits of the teacher."""

        def compute_loss(self, model, inputs, return_outputs=False, **_):  # noqa: ANN001, ANN003, ANN202
            targets = inputs.pop("labels", None)
            outputs = model(**inputs)
            if targets is None:
                return (torch.zeros(()), outputs) if return_outputs else torch.zeros(())
            loss = torch.nn.functional.kl_div(
                (outputs.logits / TEMPERATURE).log_softmax(-1),
                (targets / TEMPERATURE).softmax(-1),
                reduction="batchmean",
            )
            loss = loss * TEMPERATURE**2
            return (loss, outputs) if return_outputs else loss

    return DistillationTrainer


def quantize(source: Path, target: Path, examples: list[str]) -> None:
    """Export a classifier to ONNX and quantize it to 8 bits, as the documentation of both libraries shows it."""
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModelForSequenceClassification.from_pretrained(source).eval()
    batch = dict(tokenizer(examples, padding=True, return_tensors="pt"))
    axes = {0: torch.export.Dim("batch", min=1, max=4_096), 1: torch.export.Dim("length", min=1, max=512)}
    target.mkdir()
    torch.onnx.export(
        model, kwargs=batch, f=str(target / "exact.onnx"), dynamo=True, external_data=False, verbose=False,
        dynamic_shapes=dict.fromkeys(batch, axes), input_names=list(batch), output_names=["logits"],
    )  # fmt: skip
    quantize_dynamic(target / "exact.onnx", target / "model.onnx", weight_type=QuantType.QInt8)
    (target / "exact.onnx").unlink()
    tokenizer.save_pretrained(target)


def predictor_of(folder: Path):  # noqa: ANN201
    """Return a function of texts that returns the class of each, for a saved model of any kind."""
    if (folder / "model.pkl").is_file():
        import pickle

        return pickle.loads((folder / "model.pkl").read_bytes()).predict
    logits = onnx_logits(folder) if (folder / "model.onnx").is_file() else torch_logits(folder)
    return lambda texts: logits(texts).argmax(1)


def onnx_logits(folder: Path):  # noqa: ANN201
    """Return a function of texts that returns the logits of a graph."""
    import numpy as np
    import onnxruntime
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])

    def logits(texts: list[str]):  # noqa: ANN202
        return np.concatenate(
            [
                session.run(["logits"], dict(encoded(tokenizer, texts[start : start + BATCH], "np")))[0]
                for start in range(0, len(texts), BATCH)
            ]
        )

    return logits


def torch_logits(folder: Path):  # noqa: ANN201
    """Return a function of texts that returns the logits of a saved classifier."""
    import numpy as np
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()

    def logits(texts: list[str]):  # noqa: ANN202
        with torch.inference_mode():
            return np.concatenate(
                [
                    model(**encoded(tokenizer, texts[start : start + BATCH], "pt")).logits.numpy()
                    for start in range(0, len(texts), BATCH)
                ]
            )

    return logits


def encoded(tokenizer, texts: list[str], kind: str):  # noqa: ANN001, ANN201
    """Return a padded batch."""
    return tokenizer(texts, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors=kind)


def timing_loop(variants: list[str], folder: Path, texts: list[str]) -> dict[str, float]:
    """Return the median milliseconds per text of each saved model, measured in turns."""
    models = {name: predictor_of(folder / name) for name in variants if (folder / name).is_dir()}
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(ROUNDS):
        for name, predict in models.items():
            for text in texts[:TIMED_TEXTS]:
                began = time.perf_counter()
                predict([text])
                times[name].append(1_000 * (time.perf_counter() - began))
    return {name: statistics.median(spent) for name, spent in times.items()}


def run_peer(arguments: argparse.Namespace, seeds: list[int], folder: Path) -> tuple[float, Answers]:
    """Run every script in a new process; return the wall time in seconds and the answers."""
    budgets = [int(budget) for budget in arguments.budgets.split(",")]
    for budget in budgets:
        for seed in seeds:
            write_rows(folder / "recipe.yaml", budget, seed, folder / f"{budget}-{seed}.json")
            (folder / f"models-{budget}-{seed}").mkdir()
    answers: Answers = {}
    began = time.perf_counter()
    for variant in arguments.variants.split(","):
        for budget in budgets:
            for seed in seeds:
                answers.setdefault((variant, budget), []).append(peer_result(arguments, variant, budget, seed, folder))
                print(f"peer: {variant} {budget} seed {seed} at {time.perf_counter() - began:.0f} s", file=sys.stderr)
    times = peer_result(arguments, "timing", max(budgets), seeds[0], folder)
    print(f"peer, ms per text: {times}", file=sys.stderr)
    return time.perf_counter() - began, answers


def peer_result(arguments: argparse.Namespace, script: str, budget: int, seed: int, folder: Path) -> Any:
    """Run one script in a new process and return its result."""
    command = [
        sys.executable, __file__, "--script", script, "--rows", f"{folder}/{budget}-{seed}.json", "--seed", str(seed),
        "--models", f"{folder}/models-{budget}-{seed}", "--epochs", str(arguments.epochs),
        "--variants", arguments.variants,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    if done.returncode != 0:
        sys.exit(f"{script} {budget} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def run_kit(arguments: argparse.Namespace, folder: Path) -> tuple[float, Answers, float, float]:
    """Run `kit study`; return wall time, answers, seconds of its runs, and of their training and testing."""
    from kit.studies.ledger import Ledger

    command = [sys.executable, "-m", "kit.cli", "study", str(folder / "recipe.yaml"), "--json"]
    began = time.perf_counter()
    done = subprocess.run(
        [*command, "--workers", str(arguments.workers)], capture_output=True, text=True, env=environment(), check=False
    )
    wall = time.perf_counter() - began
    if done.returncode != 0:
        sys.exit(f"kit study failed:\n{done.stderr[-3000:]}")
    ledger = Ledger.load(folder / "runs" / "study-recipe")
    answers: Answers = {}
    speeds = ledger.speeds()
    timing = max(speed.seconds for speed in speeds.values())
    print(f"kit, ms per text: { {name: speed.p50_ms for name, speed in speeds.items()} }", file=sys.stderr)
    total = busy = timing
    for cell, key in ledger.cells.items():
        outcome = ledger.outcome(cell, key)
        record = None if outcome is None else ledger.record(outcome)
        assert record is not None, cell
        predictions = record.predictions()
        truth = [record.labels.index(names[0]) for names in predictions.labels]
        right = (predictions.outputs.argmax(1) == truth).astype(int).tolist()
        answers.setdefault((cell.variant, cell.budget), []).append(right)
        total += record.content.seconds.total
        busy += record.content.seconds.fit + record.content.seconds.test
    return wall, answers, total, busy


def environment() -> dict[str, str]:
    """Return the environment of both sides: no network, and kit's cache in the folder of the repeat."""
    return {**os.environ, "HF_HUB_OFFLINE": "1"}


def mean_of(answers: list[list[int]]):  # noqa: ANN201
    """Return the mean accuracy over seeds with kit's interval for seeds and test examples."""
    import numpy as np

    from kit.analysis.points import Run, metric_samples, point
    from kit.measurement.measure import LabelMeasure

    logits = [np.stack([1 - np.array(row), np.array(row)], axis=1).astype(float) for row in answers]
    truth = np.ones(len(answers[0]), np.int64)
    values, samples = metric_samples(logits, truth, LabelMeasure("accuracy"))
    runs = [Run(str(k), k, float(values[k]), np.array(row, bool), samples[k]) for k, row in enumerate(answers)]
    return point(1, runs, "accuracy").estimate


def ratio_interval(ratios: list[float]) -> tuple[float, float, float]:
    """Return the geometric mean of the ratios with its 95 % interval (Student's t on the logarithms)."""
    import numpy as np
    from scipy import stats

    logs = np.log(ratios)
    if len(logs) < 2:
        return float(np.exp(logs.mean())), float("nan"), float("nan")
    half = stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    return tuple(float(np.exp(logs.mean() + side * half)) for side in (0, -1, 1))  # type: ignore[return-value]


def compare_means(peer_answers: Answers, kit_answers: Answers) -> int:
    """Print the means of both sides, and return how many pairs lie in each other's intervals."""
    inside = 0
    print(f"{'':18}{'separate scripts':>28}{'kit study':>28}")
    for key in sorted(peer_answers):
        peer, kit = mean_of(peer_answers[key]), mean_of(kit_answers[key])
        agree = peer.low <= kit.value <= peer.high and kit.low <= peer.value <= kit.high
        inside += agree
        mark = "" if agree else "  outside the other's interval"
        print(f"{key[0]:10}{key[1]:>8}{peer.format(percent=True):>28}{kit.format(percent=True):>28}{mark}")
    return inside


def run_repeats(arguments: argparse.Namespace) -> None:
    """Run both sides one after the other in each repeat, and print the comparison."""
    ratios: list[float] = []
    peer_answers: Answers = {}
    kit_answers: Answers = {}
    seconds = dict.fromkeys(("peer", "kit", "runs", "training and testing"), 0.0)
    for repeat in range(arguments.repeats):
        seeds = list(range(repeat * arguments.seeds, (repeat + 1) * arguments.seeds))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            os.environ["KIT_CACHE"] = str(folder / "cache")
            write_recipe(arguments, seeds, str(folder / "runs"), folder / "recipe.yaml")
            kit_seconds, kit_own, total, busy = run_kit(arguments, folder)
            peer_seconds, peer_own = run_peer(arguments, seeds, folder)
        ratios.append(peer_seconds / kit_seconds)
        print(f"repeat {repeat + 1}: {peer_seconds:.0f} s separately, {kit_seconds:.0f} s by kit study: ratio "
              f"{ratios[-1]:.2f}", flush=True)  # fmt: skip
        for key, spent in zip(seconds, (peer_seconds, kit_seconds, total, busy), strict=True):
            seconds[key] += spent
        for answers, own in ((peer_answers, peer_own), (kit_answers, kit_own)):
            for key, rows in own.items():
                answers.setdefault(key, []).extend(rows)
    inside = compare_means(peer_answers, kit_answers)
    middle, low, high = ratio_interval(ratios)
    print(f"ratio {middle:.2f} [{low:.2f}, {high:.2f}] over {len(ratios)} repeats")
    summary = {
        "ratio": round(middle, 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "peer_seconds": round(seconds["peer"]),
        "kit_seconds": round(seconds["kit"]),
        "overhead_over_runs": round(seconds["kit"] * arguments.workers / seconds["runs"] - 1, 3),
        "overhead_over_training_and_testing": round(
            seconds["kit"] * arguments.workers / seconds["training and testing"] - 1, 3
        ),
        "means_inside": inside,
        "means": len(peer_answers),
    }
    print(json.dumps(summary))


def main() -> None:
    """Run the comparison, or one script of the peer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budgets", default="80,160,320,640")
    parser.add_argument("--seeds", type=int, default=2, help="seeds per repeat")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--variants", default="finetune,probe,tfidf")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    for name in ("--script", "--rows", "--models"):  # of a process of the peer
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.script:
        print(json.dumps(run_script(arguments)))
    else:
        run_repeats(arguments)


if __name__ == "__main__":
    main()
