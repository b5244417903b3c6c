"""Training on a GPU: kit against transformers.Trainer.

    python benchmarks/gpu.py [--examples 4096] [--rounds 3] [--models BERT-base] [--ways "kit, no padding"]
    python benchmarks/gpu.py --try-on-cpu      # the same functions on tiny models; the figures mean nothing

IMDB reviews cut at 128 tokens, one epoch, on MiniLM and on random weights of BERT-base's and BERT-large's shape, which
train as fast as learnt ones. All sides in one process, in turns, after a round that warms up; each with its defaults:
Trainer in batches of 8 (in float32, and with bf16), kit in batches of 32 and with token embeddings frozen, and the same
without padding in the layers (`train.padding_free`), with its steps compiled (`train.compile`; the time that compiling
takes is in no round that counts), and with both. Prints for every side samples/s, the share of a GEMM's speed
(bfloat16, in the same run) that the model's arithmetic uses, and the peak of the GPU's memory; of the largest model
QLoRA (nf4) as well; and how many texts a second a teacher's answers are kept of.

To reach: BERT-base 3 times as fast as Trainer's defaults, with 45 % of the GEMM's speed.

What kit does not do there unless it is asked to, and why:
- Batches without padding. Those of near-equal length are 2 % padding, reviews cut at 128 hardly any, and jagged tensors
  cost the host time in every layer. What there is to gain besides: attention without a mask, and a step that does not
  wait for transformers to read it.
- torch.compile. Batches have many lengths; on a CPU it cost more than it gave.

What kit does not do at all, and why:
- Lengths in multiples of 8. Products have batch x length rows, with 32 examples a multiple of 8 already.
- Processes that load data. A batch of 32 is made in 0.07 ms, while the GPU computes the one before.
- A step without waiting where there is padding. In each pass transformers looks whether the mask can be left out, which
  reads it.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from finetune import MAX_LENGTH, gemm_peak, training_flops
from gpu_work import Reviews, Shape, checkpoint_of, job_for, rows_of, write_reviews

if TYPE_CHECKING:
    from kit.methods import Job

AIM_RATIO, AIM_UTILISATION = 3.0, 0.45
QLORA = "kit, QLoRA"
WAYS = {
    "kit, no padding": ["train.padding_free=true"],
    "kit, compiled": ["train.compile=true"],
    "kit, both": ["train.padding_free=true", "train.compile=true"],
}


@dataclass(frozen=True)
class Work:
    """What is measured. models: None is MiniLM itself. warm_ups: rounds before those that count.

    ways: names of `WAYS` to train each model besides kit's own.
    """

    examples: int
    rounds: int
    warm_ups: int
    models: dict[str, Shape | None]
    ways: tuple[str, ...]


SHAPES = {"MiniLM": None, "BERT-base": Shape(768, 12, 12), "BERT-large": Shape(1024, 24, 16)}
# Compiling would take minutes.
TINY = Work(32, 1, 0, dict.fromkeys(SHAPES, Shape(64, 2, 2)), ("kit, no padding",))


@dataclass(frozen=True)
class Side:
    """One way to train a model, by round: samples/s and the peak of memory in bytes."""

    rates: list[float]
    peaks: list[int]

    @property
    def rate(self) -> float:
        """The median."""
        return median(self.rates)


def train_with_trainer(job: Job, rows: list[dict[str, Any]], bf16: bool) -> float:
    """Samples/s of transformers.Trainer as its documentation shows it, but that it writes no checkpoints."""
    from transformers import AutoModelForSequenceClassification, PrinterCallback, Trainer, TrainingArguments

    from kit.models.checkpoints.tokenizers import load_tokenizer, quiet

    assert job.checkpoint is not None
    folder = job.checkpoint.folder
    with quiet():
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=len(job.task.labels))
    with tempfile.TemporaryDirectory() as output:
        settings = TrainingArguments(
            output_dir=output,
            num_train_epochs=1,
            bf16=bf16 and job.hardware.bf16,
            use_cpu=job.hardware.device == "cpu",
            save_strategy="no",
            disable_tqdm=True,
        )
        trainer = Trainer(model=model, args=settings, train_dataset=rows, processing_class=load_tokenizer(folder))
        trainer.remove_callback(PrinterCallback)  # its lines would stand in the table
        return len(rows) / trainer.train().metrics["train_runtime"]


def train_with_kit(job: Job) -> float:
    """Samples/s of kit's training: all of the model, or adapters beside weights in 4 bits."""
    from kit.methods.encoders.finetune import pretrained_classifier, train_on_budget
    from kit.methods.encoders.lora import add_adapters
    from kit.training.hardware import set_up_hardware

    set_up_hardware("auto")
    with tempfile.TemporaryDirectory() as folder:
        placed = replace(job, workdir=Path(folder) / "work", logs=Path(folder) / "logs")
        if job.recipe.method == "lora":
            lora = job.recipe.lora
            done = train_on_budget(
                placed, lambda: pretrained_classifier(placed, bits="nf4"), lambda model: add_adapters(model, lora)
            )
        else:
            done = train_on_budget(placed, lambda: pretrained_classifier(placed), lambda model: model)
        return done.training.samples_per_second


def in_turns(sides: dict[str, Callable[[], float]], work: Work) -> dict[str, Side]:
    """Every side in every round, each second round in the opposite order."""
    import torch

    from kit.runtime.versions import peak_gpu_memory_bytes, peak_memory_bytes

    found = {name: Side([], []) for name in sides}
    for number in range(work.warm_ups + work.rounds):
        for name in sides if number % 2 == 0 else reversed(sides):
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            rate = sides[name]()
            if number >= work.warm_ups:
                found[name].rates.append(rate)
                found[name].peaks.append(peak_gpu_memory_bytes() or peak_memory_bytes())
    return found


def measure_model(name: str, checkpoint: str, work: Work, reviews: Reviews) -> tuple[dict[str, Side], float]:
    """All sides of one model, and the arithmetic of one example."""
    job = job_for(checkpoint, reviews, "finetune")
    rows = rows_of(job)
    sides: dict[str, Callable[[], float]] = {
        "Trainer": lambda: train_with_trainer(job, rows, bf16=False),
        "Trainer, bf16": lambda: train_with_trainer(job, rows, bf16=True),
        "kit": lambda: train_with_kit(job),
    }
    for way in work.ways:
        other = job_for(checkpoint, reviews, "finetune", *WAYS[way])
        sides[way] = partial(train_with_kit, other)
    if name == list(work.models)[-1]:
        adapters = job_for(checkpoint, reviews, "lora")
        sides[QLORA] = lambda: train_with_kit(adapters)
    assert job.checkpoint is not None
    config = json.loads((job.checkpoint.folder / "config.json").read_text("utf-8"))
    return in_turns(sides, work), training_flops(config, [len(row["input_ids"]) for row in rows])


def teacher_rate(checkpoint: str, reviews: Reviews) -> float:
    """Texts/s of which a teacher's answers are computed, in float32, and kept; the time to load it is part of it."""
    from kit.distillation.teacher import resolve_teacher
    from kit.distillation.teacher_outputs import teacher_logits
    from kit.training.progress import Progress

    texts = job_for(checkpoint, reviews, "finetune").data.train.texts
    began = time.perf_counter()
    _, computed = teacher_logits(resolve_teacher(checkpoint), texts, MAX_LENGTH, Progress(quiet=True))
    assert computed.texts == len(texts)
    return computed.texts / (time.perf_counter() - began)


def row(name: str, side: str, found: dict[str, Side], share: float) -> dict[str, Any]:
    """A line of the table. share: of the GEMM's speed that one sample a second uses."""
    ours = found[side]
    figures = {
        "samples_per_second": round(ours.rate, 1),
        "kit_times_as_fast": round(found["kit"].rate / ours.rate, 2),
        "peak_mb": round(max(ours.peaks) / 1e6),
    }
    if side != QLORA:  # which computes no gradients of the weights
        figures["utilisation"] = float(f"{ours.rate * share:.3g}")
    shown = f"{figures['utilisation']:.1%}" if "utilisation" in figures else ""
    print(
        f"{name:<12}{side:<16}{figures['samples_per_second']:>10.1f}{figures['kit_times_as_fast']:>8.2f}x"
        f"{shown:>10}{figures['peak_mb']:>10} MB",
        flush=True,
    )
    return {"model": name, "side": side, **figures}


def measure(work: Work, device: str) -> dict[str, Any]:
    """Print the table and give back what is in it."""
    from kit.runs.request import LoadedInputs
    from kit.training.hardware import set_up_hardware

    rows = []
    gemm = gemm_peak(set_up_hardware("auto").bf16)
    print(f"{device}, GEMM {gemm / 1e12:.3g} TFLOP/s; {work.examples} reviews of {MAX_LENGTH} tokens or less")
    print(f"{'model':<12}{'side':<16}{'samples/s':>10}{'kit':>9}{'of GEMM':>10}{'peak memory':>13}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KIT_CACHE"] = f"{folder}/cache"
        reviews = Reviews(Path(folder) / "reviews.csv", work.examples, LoadedInputs())
        write_reviews(reviews.file, work.examples)
        for number, (name, shape) in enumerate(work.models.items()):
            checkpoint = checkpoint_of(shape, Path(folder) / str(number))
            found, flops = measure_model(name, checkpoint, work, reviews)
            rows += [row(name, side, found, flops / gemm) for side in found]
        teacher, texts = name, teacher_rate(checkpoint, reviews)
    print(f"answers of a teacher ({teacher}): {texts:.1f} texts/s kept")
    speeds = {"gemm_tflops": float(f"{gemm / 1e12:.3g}"), "teacher_texts_per_second": round(texts, 1)}
    return {"device": device, **speeds, "rows": rows}


def main() -> None:
    """Measure on a GPU, or try the code path without one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", default=",".join(SHAPES), help="of these")
    parser.add_argument("--ways", default=";".join(WAYS), help="besides kit's own, of these; compiling takes minutes")
    parser.add_argument("--try-on-cpu", action="store_true")
    arguments = parser.parse_args()
    if arguments.try_on_cpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        print("tiny models on a CPU, to try the code path: the figures mean nothing")
        print(json.dumps(measure(TINY, "cpu")))
        return
    import torch

    if not torch.cuda.is_available():
        print("needs a CUDA GPU, and torch sees none; --try-on-cpu tries the code path", file=sys.stderr)
        sys.exit(2)
    models = {name: SHAPES[name] for name in arguments.models.split(",")}
    ways = tuple(way for way in arguments.ways.split(";") if way)
    summary = measure(Work(arguments.examples, arguments.rounds, 1, models, ways), torch.cuda.get_device_name())
    print(json.dumps(summary))
    base = {each["side"]: each for each in summary["rows"] if each["model"] == "BERT-base"}
    if not base:
        return
    ratio, use = base["Trainer"]["kit_times_as_fast"], base["kit"]["utilisation"]
    for what, value, aim in (("times Trainer", ratio, AIM_RATIO), ("of the GEMM's speed", use, AIM_UTILISATION)):
        print(f"BERT-base, {what}: {value:.2f}, aim {aim:.2f}: {'reached' if value >= aim else 'missed'}")


if __name__ == "__main__":
    main()
