"""Time and memory of short commands: help, list, check, and one text through runs and exports of each backend.

python benchmarks/startup.py [--rounds 5] [--folder build/startup] [--baseline PYTHONPATH]

The models are trained once into `--folder`, in a few minutes. Commands run in turns, each in a process of its own; the
table has the median of the rounds. With `--baseline`, the code in that folder is measured in the same rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

RECIPE = Path(__file__).parents[1] / "recipes" / "sentiment.yaml"
TEXT = "a fine film"
LIMITS = {
    "--help": (0.5, None),
    "onnx": (1.5, 250),
    "ct2": (1.5, 250),
    "tfidf": (1.5, 250),
    "torch": (4.0, None),
    "check": (5.0, None),
}


@dataclass
class Command:
    """A command with the seconds, the processor's seconds and the megabytes of each of its runs."""

    name: str
    arguments: list[str]
    code: str | None = None
    runs: list[tuple[float, float, float]] = field(default_factory=list)

    def run(self) -> None:
        """Run the command once in a new process."""
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        if self.code is not None:
            environment["PYTHONPATH"] = self.code
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", *self.arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=self.code,
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(self.arguments)} failed")
        self.runs.append((seconds, used.ru_utime + used.ru_stime, memory(used)))

    @property
    def medians(self) -> tuple[float, float, float]:
        """Medians over the runs."""
        seconds, cpu, megabytes = zip(*self.runs, strict=True)
        return median(seconds), median(cpu), median(megabytes)


def memory(used: resource.struct_rusage) -> float:
    """Peak memory of a process in MB."""
    return used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def kit(*arguments: object) -> None:
    """Run a command of kit."""
    subprocess.run([sys.executable, "-m", "kit.cli", *map(str, arguments)], check=True)


def pairs(folder: Path) -> Path:
    """Write 330 short pairs in English and German."""
    folder.mkdir(parents=True, exist_ok=True)
    words = {"en": ["dogs", "cats", "books", "trees"], "de": ["Hunde", "Katzen", "Bücher", "Bäume"]}
    frames = {"en": "there are {} {} here", "de": "hier sind {} {}"}
    for split, numbers in (("train", range(300)), ("test", range(300, 330))):
        for language, frame in frames.items():
            lines = [frame.format(number, words[language][number % 4]) for number in numbers]
            (folder / f"{split}.{language}").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def prepared(folder: Path) -> dict[str, Path]:
    """Train and export the models that are missing, and return the folders of runs and exports by name."""
    runs, exports = folder / "runs", folder / "exports"
    small = ["--set", f"runs={runs}", "--set", "data.test_size=100", "--set", "data.max_length=64"]
    gate = ["--set", "compress.gate.retained=null", "--set", "compress.gate.agreement=null"]
    translation = folder / "translation.yaml"
    if not runs.is_dir():
        kit("finetune", RECIPE, *small, "--set", "data.budget=100", "--set", "train.epochs=1")
        kit("finetune", RECIPE, *small, "--set", "data.budget=1000", "--set", "method=tfidf")
        translation.write_text(
            f"task: translation\nmethod: scratch\nruns: {runs}\n"
            f"data: {{source: {pairs(folder / 'pairs')}, languages: [en, de], budget: 250, max_length: 20}}\n"
            "train: {epochs: 2, evaluations: 1}\ntranslation: {vocabulary: 300, beams: 2}\n",
            "utf-8",
        )
        kit("finetune", translation)
        kit("compress", next(runs.glob("finetune-*")), "--steps", "int8-onnx", *gate)
        kit("compress", next(runs.glob("scratch-*")), "--steps", "ct2", *gate)
    kinds = {"torch": "finetune-*", "onnx": "int8-onnx-*", "ct2": "ct2-*", "tfidf": "tfidf-*"}
    found = {name: next(runs.glob(pattern)) for name, pattern in kinds.items()}
    for name, run in list(found.items()):
        exported = exports / name
        if not exported.is_dir():
            code = ["--with-code"] if name == "torch" else []
            own = ["--format", "safetensors"] if name == "torch" else []
            kit("export", run, "--no-speed", "--to", exported, *own, *code)
        found[f"{name} export"] = exported
    return found


def commands(models: dict[str, Path], runs: Path, code: str | None) -> list[Command]:
    """Return the commands to measure."""
    kit_commands = {
        "--help": ["kit.cli", "--help"],
        "list": ["kit.cli", "list", str(runs)],
        "check": ["kit.cli", "check", str(RECIPE)],
        **{name: ["kit.cli", "predict", str(folder), TEXT] for name, folder in models.items()},
    }
    return [Command(name, arguments, code) for name, arguments in kit_commands.items()]


def main() -> None:
    """Measure all commands in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("build/startup"))
    parser.add_argument("--baseline", help="folder of other code of kit, measured in the same rounds")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    models = prepared(folder)
    codes = [None] if arguments.baseline is None else [None, arguments.baseline]
    measured = {code: commands(models, folder / "runs", code) for code in codes}
    for _ in range(1 + arguments.rounds):  # the first round fills the disk's cache
        for alternatives in zip(*measured.values(), strict=True):
            for command in alternatives:
                command.run()
    for code, group in measured.items():
        print(f"\n{code or 'this code'}: medians of {arguments.rounds} rounds")
        print(f"{'command':14}{'seconds':>9}{'cpu s':>8}{'MB':>8}")
        for command in group:
            command.runs = command.runs[1:]
            seconds, cpu, megabytes = command.medians
            print(f"{command.name:14}{seconds:>9.2f}{cpu:>8.2f}{megabytes:>8.0f}")
    print(json.dumps({"reached": reached(measured[None])}))


def reached(group: list[Command]) -> dict[str, bool]:
    """Return whether each command with a limit stays within it."""
    result = {}
    for command in group:
        limit = LIMITS.get(command.name.removesuffix(" export"))
        if limit is not None:
            seconds, _, megabytes = command.medians
            result[command.name] = seconds <= limit[0] and (limit[1] is None or megabytes <= limit[1])
    return result


if __name__ == "__main__":
    main()
