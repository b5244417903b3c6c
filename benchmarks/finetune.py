"""Fine-tuning speed: transformers.Trainer with its defaults, and kit with its own, on the same work.

Same data, checkpoint, epochs and number of examples; each run is a process of its own, in alternating order, so
that a noisy machine hits both alike. Prints samples/s, accuracy and peak memory of each, the ratio, and how much of the
machine's matrix-product peak kit's model arithmetic uses.

    python benchmarks/finetune.py [--examples 2000] [--epochs 1] [--seeds 3]
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
from statistics import mean, median

RECIPE = Path(__file__).parents[1] / "recipes" / "sentiment.yaml"
MAX_LENGTH = 128


def recipe_for(examples: int, epochs: float, seed: int, runs: str):  # noqa: ANN201
    """The recipe: both sides train and test on its data."""
    from kit.recipe import load_recipe

    overrides = [f"data.budget={examples}", "data.validation=0", f"train.epochs={epochs}", f"train.seed={seed}"]
    return load_recipe(RECIPE, [*overrides, f"runs={runs}"])


def run_peer(examples: int, epochs: float, seed: int) -> dict[str, float]:
    """transformers.Trainer as its documentation shows it, no argument changed that bears on speed."""
    import numpy as np
    from datasets import Dataset
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    from kit.data import prepare
    from kit.data.labels import encode_labels
    from kit.models.checkpoints.checkpoint import resolve_checkpoint

    with tempfile.TemporaryDirectory() as folder:
        recipe = recipe_for(examples, epochs, seed, folder)
        data = prepare(recipe.data, seed)
        checkpoint = resolve_checkpoint(recipe.model).folder
        tokenizer = AutoTokenizer.from_pretrained(checkpoint)

        def dataset(part) -> Dataset:  # noqa: ANN001
            texts = [row[0] for row in part.texts]
            return Dataset.from_dict(
                {
                    **tokenizer(texts, truncation=True, max_length=MAX_LENGTH),
                    "labels": encode_labels(part.labels, data.labels, data.multi_label).tolist(),
                }
            )

        set_seed(seed)
        model = AutoModelForSequenceClassification.from_pretrained(checkpoint, num_labels=len(data.labels))
        arguments = TrainingArguments(output_dir=folder, num_train_epochs=epochs, seed=seed, disable_tqdm=True)
        trainer = Trainer(model=model, args=arguments, train_dataset=dataset(data.train), processing_class=tokenizer)
        result = trainer.train()
        peak = peak_memory()
        logits = trainer.predict(dataset(data.test)).predictions
    accuracy = float(
        (np.asarray(logits).argmax(1) == encode_labels(data.test.labels, data.labels, data.multi_label)).mean()
    )
    seconds = result.metrics["train_runtime"]
    return {"samples_per_second": examples * epochs / seconds, "accuracy": accuracy, "peak_bytes": peak}


def run_kit(examples: int, epochs: float, seed: int) -> dict[str, float]:
    """Kit with its defaults, through its public function."""
    from kit.data import prepare
    from kit.runs.execute import finetune

    with tempfile.TemporaryDirectory() as folder:
        recipe = recipe_for(examples, epochs, seed, folder)
        record = finetune(recipe, quiet=True)
        content = record.to_dict()
        rate = content["training"]["samples_per_second"]
        accuracy = record.metrics["accuracy"].value
        peak = content["peak_memory_bytes"]
        whole = examples * epochs / content["seconds"]["fit"]
        texts = [row[0] for row in prepare(recipe.data, seed).train.texts]
        flops = model_flops_a_sample(record.model_folder, texts)
        bf16 = content["training"]["precision"] == "bf16"
    return {
        "samples_per_second": rate,
        "samples_per_second_of_fit": whole,
        "accuracy": accuracy,
        "peak_bytes": peak,
        "flops": flops,
        "gemm": gemm_peak(bf16),
    }


def model_flops_a_sample(folder: Path, texts: list[str]) -> float:
    """Arithmetic of one training example of a pooled run's model, without padding."""
    from transformers import AutoTokenizer

    config = json.loads((folder / "config.json").read_text("utf-8"))["encoder"]
    ids = AutoTokenizer.from_pretrained(folder)(texts, truncation=True, max_length=MAX_LENGTH)["input_ids"]
    return training_flops(config, [len(each) for each in ids])


def training_flops(config: dict, lengths: list[int]) -> float:
    """Mean arithmetic of training on texts of so many tokens: 6 FLOPs a weight and token, and attention's products.

    The usual count (Kaplan et al. 2020, arXiv:2001.08361): twice for the forward pass, four times for the backward.
    config: of an encoder of BERT's kind.
    """
    hidden, inner, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    weights = layers * (4 * hidden * hidden + 2 * hidden * inner)
    return mean(6 * weights * n + 12 * layers * hidden * n * n for n in lengths)


def gemm_peak(bf16: bool) -> float:
    """FLOP/s of a large matrix product in the format that was trained in."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = 8192 if device == "cuda" else 1536
    kind = torch.bfloat16 if bf16 else torch.float32
    a, b = (torch.randn(size, size, dtype=kind, device=device) for _ in range(2))
    best = float("inf")
    for _ in range(12):
        began = time.perf_counter()
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def peak_memory() -> int:
    """Highest resident memory of this process, in bytes."""
    from kit.runtime.versions import peak_memory_bytes

    return peak_memory_bytes()


def child(side: str, arguments: argparse.Namespace, seed: int) -> dict[str, float]:
    """Run one side in a fresh process."""
    command = [sys.executable, __file__, "--side", side, "--seed", str(seed)]
    command += ["--examples", str(arguments.examples), "--epochs", str(arguments.epochs)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        sys.exit(f"{side} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Alternate the two sides over the seeds and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--side", choices=["peer", "kit"])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.side:
        side = run_peer if arguments.side == "peer" else run_kit
        print(json.dumps(side(arguments.examples, arguments.epochs, arguments.seed)))
        return
    found: dict[str, list[dict[str, float]]] = {"peer": [], "kit": []}
    for seed in range(arguments.seeds):
        for side in ("peer", "kit") if seed % 2 == 0 else ("kit", "peer"):
            found[side].append(child(side, arguments, seed))
            print(
                f"seed {seed} {side:>4}: {found[side][-1]['samples_per_second']:.1f} samples/s",
                file=sys.stderr,
            )
    ratios = [
        k["samples_per_second"] / p["samples_per_second"] for k, p in zip(found["kit"], found["peer"], strict=True)
    ]
    use = [k["flops"] * k["samples_per_second"] / k["gemm"] for k in found["kit"]]
    print(f"{arguments.examples} examples, {arguments.epochs:g} epochs, {arguments.seeds} seeds")
    print(f"{'':26}{'samples/s':>10}{'accuracy':>10}{'peak memory':>13}")
    for side, name in (("peer", "transformers.Trainer"), ("kit", "kit")):
        rows = found[side]
        print(
            f"{name:26}{median(r['samples_per_second'] for r in rows):>10.1f}{mean(r['accuracy'] for r in rows):>10.3f}"
            f"{max(r['peak_bytes'] for r in rows) / 1e6:>10.0f} MB"
        )
    print(f"ratio {median(ratios):.2f} (each seed: {', '.join(f'{r:.2f}' for r in ratios)})")
    fit = median(k["samples_per_second_of_fit"] for k in found["kit"])
    print(f"kit with all that surrounds its training (tokens, start of the head): {fit:.1f} samples/s")
    print(
        f"kit uses {median(use):.0%} of the matrix-product peak "
        f"({median(k['gemm'] for k in found['kit']) / 1e9:.0f} GFLOP/s)"
    )
    summary = {
        "ratio": round(median(ratios), 2),
        "peer_samples_per_second": round(median(r["samples_per_second"] for r in found["peer"]), 1),
        "kit_samples_per_second": round(median(r["samples_per_second"] for r in found["kit"]), 1),
        "kit_samples_per_second_of_fit": round(fit, 1),
        "peer_accuracy": round(mean(r["accuracy"] for r in found["peer"]), 4),
        "kit_accuracy": round(mean(r["accuracy"] for r in found["kit"]), 4),
        "peer_peak_mb": round(max(r["peak_bytes"] for r in found["peer"]) / 1e6),
        "kit_peak_mb": round(max(r["peak_bytes"] for r in found["kit"]) / 1e6),
        "flop_utilisation": round(median(use), 3),
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
