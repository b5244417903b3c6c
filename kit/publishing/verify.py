"""Verification: an exported folder answers the test examples in a process of its own, as the run did.

Knows answers and processes. Knows nothing of how a format is written.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kit.data import Prepared
from kit.data.label_words import in_line
from kit.errors import ExportError
from kit.measurement.intervals import Estimate
from kit.models.predictor import load_predictor
from kit.models.translation.translator import Translator
from kit.publishing import standalone_check as probe
from kit.publishing.formats import Format
from kit.publishing.translators import LIKELIEST
from kit.records.record import Record
from kit.runtime.temporary import temporary_folder
from kit.tasks import Task, task_for

if TYPE_CHECKING:
    from kit.analysis.distillation_verdict import Verdict

EXACT = 1e-3  # of a logit: the same sums in another order, or by another library, give below 1e-4
_TIE = 1e-5  # two labels nearer than this are told apart by rounding alone
_SHOWN = 5
_TIME_LIMIT_S = 3_600


@dataclass(frozen=True)
class Proof:
    """What an exported format gave on the test examples.

    examples: how many. tokens: whether the tokens of their texts were compared too. translations: whether the answers
    are some, else labels. largest_difference: of any logit, from the answers of the model that was exported. retained,
    agreement: of these answers against those that the run stored, where the format rounds its numbers; else None.
    greedy: whether translations took the likeliest token each time, without a search. alone: whether each text was
    answered by itself, where the run's stored answers were given in batches, on which they depend a little.
    """

    examples: int
    tokens: bool
    translations: bool
    largest_difference: float
    retained: Estimate | None
    agreement: Estimate | None
    greedy: bool = False
    alone: bool = False

    @property
    def line(self) -> str:
        """For people."""
        compared = "translations" if self.translations else "labels and tokens" if self.tokens else "labels"
        line = f"without kit the same {compared} as with it on all {self.examples:,} test examples"
        if not self.translations:
            line += f", largest difference of a logit {self.largest_difference:.1g}"
        if self.greedy:
            line += ", without a search"
        elif self.alone and not self.translations:
            line += ", each text alone"
        if self.agreement is not None:
            kept = f"retains {self.retained.format(percent=True)} of the run's metric, " if self.retained else ""
            of = "the run's answers in batches" if self.alone and not self.translations else "the run"
            of += ", which searches," if self.greedy else ""
            line += f"; {kept}agrees with {of} on {self.agreement.format(percent=True)} of these test examples"
        return line


def verify(made: Format, folder: Path, of: Record, run: Record, data: Prepared) -> Proof:
    """Let a fresh process answer, and compare with what was stored.

    of: the Record whose files the format has. run: what is exported; another one where the format rounds its numbers.
    A model that rounds activations by the batch is compared as it answers one text after the other, and graphs of a
    translator as it translates without a search.
    Raises ExportError if the process fails, or labels, their order, tokens or answers differ.
    """
    texts, task = data.test.texts, task_for(run.recipe, run.labels)
    stored = of.predictions().outputs
    model = load_predictor(of.model_folder, backend=of.backend)
    if made.loader == LIKELIEST and isinstance(model, Translator):
        model.search_greedily()
    alone = model.depends_on_batch
    expected = np.concatenate([model.outputs([text]) for text in texts]) if alone else stored
    found = _ask(made, folder, of, texts, alone)
    if tuple(found["labels"]) != of.labels:
        raise ExportError(f"{made.name}: labels are {in_line(found['labels'])}, not {in_line(of.labels)}, in order")
    _require_same_tokens(made, of, texts, found.get("tokens"))
    translates = "translations" in found
    logits = np.asarray(found["translations"], object) if translates else np.asarray(found["logits"], np.float32)
    differences = task.differences(logits, expected)
    wrong = ~(differences <= EXACT) | (~task.measure.same(logits, expected) & (differences > _TIE))
    if wrong.any():
        raise ExportError(_differing(made, of, data, wrong, logits, expected), "nothing was exported")
    rounded = alone or of.id != run.id
    verdict = _against(logits, of, run, task) if rounded else None
    retained, agreement = (verdict.retained, verdict.agreement) if verdict else (None, None)
    greedy = made.loader == LIKELIEST
    return Proof(
        len(texts), "tokens" in found, translates, float(differences.max()), retained, agreement, greedy, alone
    )


def _ask(made: Format, folder: Path, of: Record, texts: list[tuple[str, ...]], alone: bool) -> dict[str, Any]:
    with temporary_folder("probe") as scratch:
        job, answers = scratch / "job.json", scratch / "answers.json"
        job.write_text(
            json.dumps({
                "loader": made.loader,
                "arguments": {"model": str(folder), **made.arguments},
                "texts": texts,
                "labels": of.labels,
                "alone": alone,
                "max_length": of.recipe.data.max_length,
            }),
            "utf-8",
        )  # fmt: skip
        environment = {**os.environ, "TRANSFORMERS_VERBOSITY": "error", "HF_MODULES_CACHE": str(scratch)}
        command = [sys.executable, str(probe.__file__), str(job), str(answers)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_TIME_LIMIT_S, cwd=scratch, env=environment
        )
        if done.returncode:
            last = (done.stderr.strip() or "it was killed").splitlines()[-1][:200]
            raise ExportError(f"{made.name}: a process without kit cannot use the exported folder: {last}")
        found: dict[str, Any] = json.loads(answers.read_text("utf-8"))
        return found


def _require_same_tokens(
    made: Format, of: Record, texts: list[tuple[str, ...]], tokens: list[list[int]] | None
) -> None:
    """Raise ExportError if a text is cut into other tokens than in the run."""
    if tokens is None:
        return
    from kit.data.encode import encode
    from kit.models.checkpoints.loading import load_tokenizer

    encoded = encode(texts, load_tokenizer(of.model_folder), of.recipe.data.max_length)
    for number, ids in enumerate(tokens):
        expected = encoded.input_ids[encoded.offsets[number] : encoded.offsets[number + 1]].tolist()
        if ids != expected:
            raise ExportError(f"{made.name}: a text is cut into other tokens than in the run: {_short(texts[number])}")


def _differing(
    made: Format, of: Record, data: Prepared, wrong: np.ndarray, logits: np.ndarray, stored: np.ndarray
) -> str:
    lines = [f"{made.name}: {int(wrong.sum())} of {len(wrong)} test examples are not answered as {of.id} answered them"]
    for number in np.flatnonzero(wrong)[:_SHOWN]:
        before, after = (_written(values[number]) for values in (stored, logits))
        lines.append(
            f"  example {data.test.ids[number]}: {before} before, {after} now: {_short(data.test.texts[number])}"
        )
    return "\n".join(lines)


def _written(answer: str | np.ndarray) -> str:
    return _short((answer,)) if isinstance(answer, str) else np.array2string(answer, precision=3)


def _against(logits: np.ndarray, of: Record, run: Record, task: Task) -> Verdict:
    from kit.analysis.distillation_verdict import Cost, SeedOutputs, judge

    costs = [Cost(int(each.content["model_bytes"]), int(each.content["parameters"]), None) for each in (of, run)]
    theirs = run.predictions()
    return judge(
        [SeedOutputs(run.recipe.train.seed, logits, theirs.outputs, None)],
        task.targets(theirs.labels),
        task.measure,
        budget=int(run.content["data"]["sizes"]["budget"]),
        costs=(costs[0], costs[1]),
    )


def _short(row: tuple[str, ...]) -> str:
    text = " | ".join(row)
    return repr(text[:60] + ("..." if len(text) > 60 else ""))
