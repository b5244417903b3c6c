"""Facts for the model card of an export: licences, languages, history, vocabulary and truncation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kit.publishing.private_paths import public
from kit.records.content import RecordedSettings
from kit.records.record import Record
from kit.runtime.file_types import RECORD_FILE, ChainContent, VerdictContent
from kit.runtime.seals import read_sealed

if TYPE_CHECKING:
    from kit.data import Prepared
    from kit.publishing.card_facts import CardFacts, CardFormat

_RERUN = "repeat the `kit {}` command that wrote it: finished runs are reused, and the file is written again"


def card_facts(
    record: Record,
    first: Record,
    data: Prepared,
    *,
    name: str,
    recipe: dict[str, Any],
    formats: list[CardFormat],
) -> CardFacts:
    """Return the facts of an export, without speed and reproduction.

    Args:
        record: Exported run.
        first: Record whose files the first format has.
        data: Data of the run.
        name: Name on the card.
        recipe: Recipe of the run, without local paths.
        formats: Exported formats.
    """
    from kit.publishing.card_facts import CardFacts
    from kit.publishing.licences import checkpoint_source, data_source

    checkpoint = checkpoint_source(record.content.checkpoint)
    revision = record.content.data.revision
    source = data_source(record.recipe.data.source, revision) if isinstance(record.recipe.data.source, str) else None
    return CardFacts(
        name=name,
        recipe=recipe,
        history=history(first),
        formats=formats,
        vocabulary=_trimmed_vocabulary(first),
        cut=_truncated_share(first, data),
        checkpoint=public(record.content.checkpoint_name),
        base=checkpoint.hub,
        licence=checkpoint.licence,
        dataset=source.hub if source else None,
        data_licence=source.licence if source else None,
        languages=_languages(record, data, checkpoint.languages, source.languages if source else ()),
    )


def _languages(record: Record, data: Prepared, of_checkpoint: Sequence[str], of_data: Sequence[str]) -> tuple[str, ...]:
    """Return the languages of a translation from its recipe, otherwise those of the training texts."""
    from kit.publishing.languages import card_languages

    if record.recipe.data.languages is not None:
        return tuple(record.recipe.data.languages)
    return card_languages([" ".join(row) for row in data.train.texts], of_data, of_checkpoint)


def history(record: Record) -> list[str]:
    """Return the verdicts of distillation and compression on this run and its predecessors, the earliest first.

    The verdict of a compression chain lies beside the Record that the chain ended with. A chain that undid all its
    steps ended with its source and is skipped. The verdict of a chain covers all runs back to its source.
    """
    from kit.compression.chain import CHAIN_FILE
    from kit.workflows.distill import VERDICT_FILE

    lines: list[str] = []
    chain_source: str | None = None
    for ancestor in _ancestors(record):
        if chain_source not in (None, ancestor.id):
            continue
        chain_source = None
        verdict_file, chain_file = ancestor.folder / VERDICT_FILE, ancestor.folder / CHAIN_FILE
        if verdict_file.is_file():
            lines = read_sealed(verdict_file, VerdictContent, _RERUN.format("distill"))["lines"] + lines
        if chain_file.is_file():
            chain = read_sealed(chain_file, ChainContent, _RERUN.format("compress"))
            if chain["source"] != ancestor.id:
                lines, chain_source = chain["lines"] + lines, chain["source"]
    return list(dict.fromkeys(lines))


def _trimmed_vocabulary(record: Record) -> RecordedSettings | None:
    """Return the settings of the step that trimmed the vocabulary; None without one."""
    all_settings = (ancestor.content.settings for ancestor in _ancestors(record))
    return next((settings for settings in all_settings if settings.new_texts_read_differently is not None), None)


def _truncated_share(record: Record, data: Prepared) -> float | None:
    """Return the share of the test texts that the model truncates; None for a model without a tokenizer."""
    from kit.data.encode import encode
    from kit.models.checkpoints.tokenizers import load_tokenizer

    if record.content.checkpoint is None:
        return None
    encoded = encode(data.test.texts, load_tokenizer(record.model_folder), record.recipe.data.max_length)
    return float(encoded.truncated.mean())


def _ancestors(record: Record) -> list[Record]:
    """Return the run and the runs that it was compressed from, as far as they still exist, the latest first."""
    records = [record]
    while compression := records[-1].content.settings.compression:
        folder = records[-1].folder.parent / compression.source
        if not (folder / RECORD_FILE).is_file() or any(folder == known.folder for known in records):
            break
        source = Record.read(folder)
        if source.id != compression.source:
            break
        records.append(source)
    return records
