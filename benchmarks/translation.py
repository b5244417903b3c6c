"""Translation: warm start against scratch, students against their teacher, and training against Seq2SeqTrainer.

    python benchmarks/translation.py table [--budgets 5000,all] [--methods finetune,scratch] [--seeds 3]
    python benchmarks/translation.py speed [--examples 1000] [--rounds 3]
    python benchmarks/translation.py student [--seeds 3] [--students "layers:1;random"] [--teacher RUN]

Multi30k en-de, test 2016, beam 4; `--source` is the folder of the data. `table` and `student` find again what they have
made in `--runs`. `speed` trains the same warm start for one epoch, each side in a process of its own, in turns.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
RECIPE = HERE.parent / "recipes" / "translation.yaml"
MULTI30K = HERE.parents[1] / "shared" / "data" / "multi30k"
TIMED = 200  # sentences
STUDENTS = {"random": ["distill.student.init=random"]}


def recipe_for(arguments: argparse.Namespace, *overrides: str):  # noqa: ANN201
    """The shipped recipe on the data in `--source`."""
    from kit.recipe import load_recipe

    return load_recipe(RECIPE, [f"data.source={arguments.source}", f"runs={arguments.runs}", *overrides])


def table(arguments: argparse.Namespace) -> None:
    """BLEU of every method at every budget, mean over seeds with its interval, and the time it took."""
    from kit.analysis.points import Run, metric_samples, point
    from kit.runs.execute import finetune
    from kit.tasks import task_for

    print(f"{'method':>10}{'pairs':>8}  BLEU over {arguments.seeds} seeds        chrF++    TER     minutes")
    for budget in arguments.budgets.split(","):
        for method in arguments.methods.split(","):
            size = "null" if budget == "all" else budget
            records = [
                finetune(recipe_for(arguments, f"method={method}", f"data.budget={size}", f"train.seed={seed}"))
                for seed in range(arguments.seeds)
            ]
            predictions = [record.predictions() for record in records]
            task = task_for(records[0].recipe, ())
            measure, targets = task.measure.alone(), task.targets(predictions[0].labels)
            values, samples = metric_samples([each.outputs for each in predictions], targets, measure)
            runs = [
                Run(
                    record.id,
                    seed,
                    float(values[seed]),
                    measure.right(predictions[seed].outputs, targets),
                    samples[seed],
                )
                for seed, record in enumerate(records)
            ]
            found = point(records[0].content.data.sizes.budget, runs, measure.main).estimate
            others = [sum(r.metrics[name].value for r in records) / len(records) for name in ("chrf", "ter")]
            minutes = " ".join(f"{record.content.seconds.total / 60:.0f}" for record in records)
            shown = f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"
            print(
                f"{method:>10}{budget:>8}  {shown:<24}{100 * others[0]:>8.1f}{100 * others[1]:>8.1f}  {minutes}",
                flush=True,
            )


def student(arguments: argparse.Namespace) -> None:
    """Students of fewer decoder layers, or of random weights: what they keep of their teacher, and how fast they are.

    Speed: sentences a second of the test set, the student greedy, as it is and in 8 bits, its teacher at beam 4 in
    eager float32, in turns. With `--teacher` all seeds learn from that run, else each from one of its own.
    """
    from kit.workflows.distill import distill

    for name in arguments.students.split(";"):
        given = STUDENTS.get(name, [f"distill.student={json.dumps(name)}"])
        budget = arguments.budgets.split(",")[0]
        given = [f"data.budget={'null' if budget == 'all' else budget}", *given]
        if arguments.teacher:
            given.append(f"distill.teacher={arguments.teacher}")
        recipe = recipe_for(arguments, "method=distill", *given, *arguments.set)
        done = distill(recipe, seeds=arguments.seeds, controls=not arguments.no_controls)
        print(f"student {name}, {arguments.seeds} seeds")
        for line in done.verdict.lines:
            print(f"  {line}", flush=True)
        step = "ct2" if name == "random" else "int8-onnx"
        rounded = [in_8_bits(record.folder, step) for record in done.students]
        shown = " ".join(f"{100 * record.metrics['bleu'].value:.1f}" for record in rounded)
        print(f"  {step}, searching as its teacher does: BLEU {shown}", flush=True)
        named = done.record.recipe.distill.teacher
        teacher = Path(named if isinstance(named, str) else named[0]) / "model"
        models = {
            "teacher, beam 4": teacher,
            "student, greedy": done.record.model_folder,
            f"student by {step}, greedy": rounded[0].model_folder,
        }
        first: list[float] = []
        for model, (bleu, rates) in zip(models, answers(list(models.values()), arguments), strict=True):
            first = rates if model == "teacher, beam 4" else first
            ratios = [ours / theirs for theirs, ours in zip(first, rates, strict=True)]
            print(
                f"  {model}: BLEU {bleu:.1f}, {median(rates):.1f} sentences/s, "
                f"{median(ratios):.1f}x [{min(ratios):.1f}, {max(ratios):.1f}]",
                flush=True,
            )


def in_8_bits(folder: Path, step: str):  # noqa: ANN201
    """The Record of a student after a step of compression that nothing undoes."""
    from kit import Recipe
    from kit.runs.derived_recipes import compression_recipe
    from kit.workflows.compress import compress

    content = compression_recipe(folder).model_dump()
    content["compress"] |= {"steps": [step], "gate": {"retained": None}}
    return compress(Recipe.model_validate(content)).record


def answers(folders: list[Path], arguments: argparse.Namespace) -> list[tuple[float, list[float]]]:
    """BLEU on the test set and sentences a second in each round, of each model.

    The first searches as it was saved, the others take the likeliest token.
    """
    import sacrebleu

    from kit.models.load import load_predictor

    sources, references = (test_lines(arguments.source, language) for language in ("en", "de"))
    texts: list[tuple[str, ...]] = [(line,) for line in sources]
    models = [load_predictor(folder) for folder in folders]
    for model in models[1:]:
        model.search_greedily()  # type: ignore[attr-defined]
    rates: list[list[float]] = [[] for _ in models]
    for _ in range(arguments.rounds):
        for place, model in enumerate(models):
            began = time.perf_counter()
            model.outputs(texts[:TIMED])
            rates[place].append(TIMED / (time.perf_counter() - began))
    lines = [[str(line) for line in model.outputs(texts)] for model in models]
    return [(sacrebleu.corpus_bleu(found, [references]).score, rate) for found, rate in zip(lines, rates, strict=True)]


def test_lines(source: Path, language: str) -> list[str]:
    """Of the test set of 2016."""
    return gzip.decompress((source / f"test_2016_flickr.{language}.gz").read_bytes()).decode().splitlines()


def speed(arguments: argparse.Namespace) -> None:
    """Pairs a second of training: transformers.Seq2SeqTrainer with its defaults, and kit."""
    found: dict[str, list[float]] = {"peer": [], "kit": []}
    for _ in range(arguments.rounds):
        for side, rates in found.items():
            command = [sys.executable, __file__, "speed", "--side", side, "--examples", str(arguments.examples)]
            command += ["--source", str(arguments.source)]
            environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
            done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
            if done.returncode != 0:
                sys.exit(f"{side} failed:\n{done.stderr[-3000:]}")
            rates.append(json.loads(done.stdout.strip().splitlines()[-1])["pairs_per_second"])
            print(f"{side}: {rates[-1]:.1f} pairs/s", flush=True)
    ratios = [ours / theirs for ours, theirs in zip(found["kit"], found["peer"], strict=True)]
    print(f"ratio {median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]")


def one_side(arguments: argparse.Namespace) -> dict[str, float]:
    """Train the warm start for one epoch without looking at anything meanwhile."""
    from kit.methods.translators.training import writer_of
    from kit.methods.translators.writing import encode_pairs
    from kit.runs.request import make_request
    from kit.training.hardware import set_up_hardware
    from kit.training.progress import Progress

    with tempfile.TemporaryDirectory() as folder:
        arguments.runs = folder
        budget = f"data.budget={arguments.examples}"
        recipe = recipe_for(arguments, budget, "data.validation=0", "train.epochs=1", "train.report_to=[]")
        hardware = set_up_hardware("auto")
        request = make_request(recipe)
        progress = Progress(quiet=True)
        job = request.job(hardware, progress)
        job = replace(job, workdir=Path(folder) / "work", logs=Path(folder) / "logs")
        writer = writer_of(job, job.data.train)
        pairs = encode_pairs(job.data.train, writer, job.recipe.data.max_length)
        if arguments.side == "kit":
            from kit.methods.translators.training import fit_writer

            fitted = fit_writer(job, writer, pairs)
            assert fitted.training is not None
            return {"pairs_per_second": fitted.training.samples_per_second}
        from transformers import DataCollatorForSeq2Seq, Seq2SeqTrainer, Seq2SeqTrainingArguments

        rows = [
            {"input_ids": s.tolist(), "labels": t.tolist()}
            for s, t in zip(
                *(
                    [side.input_ids[side.offsets[i] : side.offsets[i + 1]] for i in range(len(side))]
                    for side in (pairs.source, pairs.target)
                ),
                strict=True,
            )
        ]
        settings = Seq2SeqTrainingArguments(output_dir=folder, num_train_epochs=1, report_to="none", save_strategy="no")
        trainer = Seq2SeqTrainer(
            model=writer.model,
            args=settings,
            train_dataset=rows,
            data_collator=DataCollatorForSeq2Seq(writer.tokenizer_pair.source, model=writer.model),
        )
        return {"pairs_per_second": len(rows) / trainer.train().metrics["train_runtime"]}


def main() -> None:
    """Parse and run one of the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["table", "student", "speed"])
    parser.add_argument("--source", type=Path, default=MULTI30K)
    parser.add_argument("--runs", default="runs")
    parser.add_argument("--budgets", default="5000,all")
    parser.add_argument("--methods", default="finetune,scratch")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--students", default="layers:1;random", help="separated by semicolons")
    parser.add_argument("--teacher", help="a run; by default one is made for each seed")
    parser.add_argument("--set", action="append", default=[], help="more of the recipe of `student`: train.epochs=3")
    parser.add_argument("--no-controls", action="store_true")
    parser.add_argument("--examples", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=["peer", "kit"])
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(one_side(arguments)))
        return
    {"table": table, "student": student, "speed": speed}[arguments.what](arguments)


if __name__ == "__main__":
    main()
