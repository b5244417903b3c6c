"""Verification of an exported format: a new process predicts the test examples, and kit compares the predictions."""

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
from kit.models.load import load_predictor
from kit.models.translation.translator import Translator
from kit.publishing import standalone_check
from kit.publishing.formats import Format
from kit.records.record import Record
from kit.runtime.temporary import temporary_folder
from kit.tasks import Task, task_for

if TYPE_CHECKING:
    from kit.analysis.distillation_verdict import Verdict

MAX_DIFFERENCE = 1e-3  # of `Task.differences`; another order of summation or another library gives less than 1e-4
_TIE = 1e-5  # labels whose logits are closer than this may change places by rounding
_MAX_SHOWN = 5
_TIME_LIMIT_S = 3_600


@dataclass(frozen=True)
class Proof:
    """Result of the verification of an exported format.

    Attributes:
        examples: Number of test examples.
        tokens: Whether the token ids of the texts were compared too.
        translations: Whether the predictions are translations.
        largest_difference: Largest difference of an output from those of the model that was exported.
        retained: Share of the run's metric that is retained; None if the predictions equal those that the run stored.
        agreement: Share of test examples with the prediction that the run stored; None if all predictions equal those.
        greedy: Whether translations were decoded greedily.
        alone: Whether each text was predicted by itself, because the run's predictions depend slightly on their batch.
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
        """Result in words, for the card and the terminal."""
        compared = "translations" if self.translations else "labels from the same tokens" if self.tokens else "labels"
        one_by_one = self.alone and not self.translations
        line = f"predicts the same {compared} as kit on all {self.examples:,} test examples"
        if not self.translations:
            line += f", largest difference {self.largest_difference:.1g}"
        if self.greedy:
            line += ", with greedy decoding"
        elif one_by_one:
            line += ", one text at a time"
        if self.agreement is not None:
            retained = f"retains {self.retained.format(percent=True)} of the run's metric, " if self.retained else ""
            reference = "the run's batched predictions" if one_by_one else "the run's predictions"
            reference += " with its own search settings" if self.greedy else ""
            agreement = self.agreement.format(percent=True)
            line += f"; {retained}agrees with {reference} on {agreement} of these test examples"
        return line


def verify(exported: Format, folder: Path, source: Record, run: Record, data: Prepared) -> Proof:
    """Predict the test examples in a new process and compare the predictions with the stored ones.

    A model whose predictions depend on the batch is compared as it predicts one text at a time, and ONNX graphs of a
    translation model as they decode greedily.

    Args:
        exported: Format to verify.
        folder: Folder of the exported files.
        source: Record whose files the format has.
        run: Record that is exported; another one than `source` for formats that a compression step computes.
        data: Data of the run.

    Raises:
        ExportError: The process fails, or labels, their order, tokens or predictions differ.
    """
    texts, task = data.test.texts, task_for(run.recipe, run.labels)
    stored = source.predictions().outputs
    model = load_predictor(source.model_folder, backend=source.backend)
    if exported.kind.greedy and isinstance(model, Translator):
        model.search_greedily()
    alone = model.depends_on_batch
    expected = np.concatenate([model.outputs([text]) for text in texts]) if alone else stored
    predictions = _predict_in_new_process(exported, folder, source, texts, alone)
    labels = predictions["labels"]
    if tuple(labels) != source.labels:
        raise ExportError(f"{exported.name}: labels are {in_line(labels)}, not {in_line(source.labels)}, in order")
    _require_same_tokens(exported, source, texts, predictions.get("tokens"))
    translates = exported.kind.translates
    outputs = (
        np.asarray(predictions["translations"], object) if translates else np.asarray(predictions["logits"], np.float32)
    )
    differences = task.differences(outputs, expected)
    wrong = ~(differences <= MAX_DIFFERENCE) | (~task.measure.same(outputs, expected) & (differences > _TIE))
    if wrong.any():
        raise ExportError(_difference_report(exported, source, data, wrong, outputs, expected), "nothing was exported")
    may_differ = alone or source.id != run.id
    verdict = _compare_with_run(outputs, source, run, task) if may_differ else None
    return Proof(
        examples=len(texts),
        tokens="tokens" in predictions,
        translations=translates,
        largest_difference=float(differences.max()),
        retained=verdict.retained if verdict else None,
        agreement=verdict.agreement if verdict else None,
        greedy=exported.kind.greedy,
        alone=alone,
    )


def _predict_in_new_process(
    exported: Format, folder: Path, source: Record, texts: list[tuple[str, ...]], alone: bool
) -> dict[str, Any]:
    """Return the predictions of `standalone_check`, read from its JSON file."""
    with temporary_folder("probe") as scratch:
        job, predictions_file = scratch / "job.json", scratch / "predictions.json"
        job.write_text(
            json.dumps({
                "loader": exported.loader,
                "arguments": {"model": str(folder), **exported.arguments},
                "texts": texts,
                "labels": source.labels,
                "alone": alone,
                "max_length": source.recipe.data.max_length,
            }),
            "utf-8",
        )  # fmt: skip
        environment = {**os.environ, "TRANSFORMERS_VERBOSITY": "error", "HF_MODULES_CACHE": str(scratch)}
        command = [sys.executable, str(standalone_check.__file__), str(job), str(predictions_file)]
        process = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_TIME_LIMIT_S, cwd=scratch, env=environment
        )
        if process.returncode:
            last = (process.stderr.strip() or "it was killed").splitlines()[-1][:200]
            raise ExportError(
                f"{exported.name}: a new process cannot load the exported folder or predict with it: {last}"
            )
        predictions: dict[str, Any] = json.loads(predictions_file.read_text("utf-8"))
        return predictions


def _require_same_tokens(
    exported: Format, source: Record, texts: list[tuple[str, ...]], tokens: list[list[int]] | None
) -> None:
    """Raise ExportError if a text is tokenized differently than in the run."""
    if tokens is None:
        return
    from kit.data.encode import encode
    from kit.models.checkpoints.tokenizers import load_tokenizer

    encoded = encode(texts, load_tokenizer(source.model_folder), source.recipe.data.max_length)
    for number, ids in enumerate(tokens):
        expected = encoded.input_ids[encoded.offsets[number] : encoded.offsets[number + 1]].tolist()
        if ids != expected:
            raise ExportError(
                f"{exported.name}: a text is tokenized differently than in the run: {_short(texts[number])}"
            )


def _difference_report(
    exported: Format, source: Record, data: Prepared, wrong: np.ndarray, outputs: np.ndarray, expected: np.ndarray
) -> str:
    """Return a message with the first test examples whose predictions differ."""
    count = f"{int(wrong.sum())} of {len(wrong)} test examples"
    lines = [f"{exported.name}: the predictions for {count} differ from those of {source.id}"]
    for number in np.flatnonzero(wrong)[:_MAX_SHOWN]:
        before, after = (_written(values[number]) for values in (expected, outputs))
        lines.append(
            f"  example {data.test.ids[number]}: {before} before, {after} now: {_short(data.test.texts[number])}"
        )
    return "\n".join(lines)


def _written(output: str | np.ndarray) -> str:
    return _short((output,)) if isinstance(output, str) else np.array2string(output, precision=3)


def _compare_with_run(outputs: np.ndarray, source: Record, run: Record, task: Task) -> Verdict:
    """Return the verdict on predictions that may differ from those that the run stored."""
    from kit.analysis.distillation_verdict import Cost, SeedOutputs, judge

    costs = [Cost(record.content.model_bytes, record.content.parameters, None) for record in (source, run)]
    stored = run.predictions()
    return judge(
        [SeedOutputs(run.recipe.train.seed, outputs, stored.outputs, None)],
        task.targets(stored.labels),
        task.measure,
        budget=run.content.data.sizes.budget,
        costs=(costs[0], costs[1]),
    )


def _short(row: tuple[str, ...]) -> str:
    text = " | ".join(row)
    return repr(text[:60] + ("..." if len(text) > 60 else ""))
