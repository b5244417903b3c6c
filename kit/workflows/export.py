"""Export: a finished run becomes a folder that anybody can load, proven to answer as the run did, and goes to the Hub.

Nothing is left behind where the proof fails: the folder is made beside its place, and moved there when it is whole. A
push comes last; where it fails, the proven folder stays, and the same command pushes that.

Knows Records and stages of publishing. Trains nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import MAKE_AGAIN, OutputError, RecipeError
from kit.publishing.manifest import CARD_FILE, Manifest, written_files
from kit.publishing.private_paths import local_paths, public
from kit.records.record import Record
from kit.runtime.file_types import RECORD_FILE, CardContent, ChainContent, VerdictContent, require_types
from kit.runtime.files import publish, remove_left_aside, require_space, writing_to
from kit.runtime.names import OF_FILE_MANAGERS
from kit.runtime.quantities import megabytes
from kit.runtime.seals import read_sealed
from kit.runtime.temporary import temporary_folder

if TYPE_CHECKING:
    from kit.data import Prepared
    from kit.publishing.card_facts import CardFacts, CardFormat
    from kit.publishing.formats import Format
    from kit.publishing.hub_push import Pushed, Target
    from kit.publishing.verify import Proof

_REPEAT = "repeat the `kit {}` command that made it: finished runs are found again, and the file is written anew"


@dataclass(frozen=True)
class Exported:
    """What was exported. folder: None if it was only pushed. proofs: by format. pushed: None if it was not."""

    record: Record
    folder: Path | None
    size_bytes: int
    proofs: dict[str, Proof]
    pushed: Pushed | None

    @property
    def lines(self) -> list[str]:
        """For people."""
        found = [f"{name}: {proof.line}" for name, proof in self.proofs.items()]
        if self.folder is not None:
            found.append(f"exported {self.record.id} to {self.folder} ({megabytes(self.size_bytes)})")
        if self.pushed is not None:
            found.append(f"pushed {self.record.id} ({megabytes(self.size_bytes)}) to {self.pushed.address}")
        return found


def export(
    run: str | Path,
    *,
    formats: Sequence[str] = (),
    to: str | Path | None = None,
    target: Target | None = None,
    overwrite: bool = False,
    with_code: bool = False,
    speed: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Exported:
    """Write a run's model in these formats, prove each, and push the folder if there is a target.

    Args:
        run: Folder of a finished run.
        formats: Names of formats; empty for the model's own, or ONNX where transformers cannot load that without code.
        to: Folder to write. One that kit exported before is replaced, another only with `overwrite`.
        target: Repository on the Hub to push to; None pushes nothing.
        overwrite: Whether to replace a folder that kit did not make.
        with_code: Whether to add the file of code that transformers needs for shapes of kit's own.
        speed: Whether to measure speed for the card.
        say: Called with a line about each stage.

    Returns:
        The Record, the folder, the proof of each format, and the commit.

    Raises:
        KitError: The run cannot be exported, which is found before anything is computed.
        ExportError: A prediction of the exported model differs, or the Hub refuses.
    """
    from kit.publishing.formats import plan_formats
    from kit.publishing.hub_push import push, require_target
    from kit.publishing.reuse import find_proven, kept, request_of
    from kit.workflows.evaluate import prepared_for, require_metrics, require_same_data

    if to is None and target is None:
        raise RecipeError(
            "nowhere to export to", "give a folder (--to exported/), a repository (--push user/name), or both"
        )
    record = Record.load(Path(run).resolve())
    require_types(record.folder / RECORD_FILE, record.content, CardContent, MAKE_AGAIN)
    planned = plan_formats(record, list(formats), with_code)
    place = None if to is None else _place(Path(to), overwrite, record)
    if target is not None:
        require_target(target)
    data = prepared_for(record)
    require_same_data(record, data)
    require_metrics(record, data)
    with kept(record) if place is None else nullcontext(place) as final:
        name = target.name if target else final.name
        request = request_of(record, planned, name, speed, _history(record))
        proofs = find_proven(final, request)
        if proofs is None:
            with _draft(final.parent, record) as draft:
                proofs = _write(record, planned, draft, data, say, name, speed, request)
                publish(draft, final)
        else:
            remove_left_aside(final)
            say(f"found the folder again that was proven for {record.id}")
            _require_private(record, final)
        size = sum(path.stat().st_size for path in final.rglob("*") if path.is_file())
        pushed = None
        if target is not None:
            say(f"pushing {megabytes(size)} to {target.name}")
            pushed = push(final, target, f"{record.id}, exported by kit")
        if place is None:
            shutil.rmtree(final)
    return Exported(record, place, size, proofs, pushed)


def _place(to: Path, overwrite: bool, record: Record) -> Path:
    """Where to export to. Raises OutputError for a folder with what kit did not export, or that is needed."""
    with writing_to(to):
        final = to.resolve()
        if to.exists() and not to.is_dir():
            raise OutputError(f"--to: {to} is a file, not a folder", "choose another folder")
    if final.is_relative_to(record.model_folder):
        raise OutputError(f"--to: {to} is in the folder of the run's model", "choose another folder")
    for needed, what in ((record.folder, "the run"), (Path.cwd(), "the current folder")):
        if needed.is_relative_to(final):
            raise OutputError(f"--to: {to} holds {what}, and would be replaced", "choose another folder")
    paths = [path for path in final.rglob("*") if path.is_symlink() or not path.is_dir()]
    there = {path.relative_to(final).as_posix() for path in paths if path.name not in OF_FILE_MANAGERS}
    written = written_files(final)
    others = sorted(there - (written or set()))
    if others and not overwrite:
        why = "is not empty and was not made by kit export" if written is None else f"holds {others[0]}, not by kit"
        raise OutputError(f"--to: {to} {why}", "choose another folder, or --overwrite")
    return final


@contextmanager
def _draft(where: Path, record: Record) -> Iterator[Path]:
    """A folder that is there until it has been moved to its place, which is beside it, or something failed."""
    require_space(where, 4 * int(record.content["model_bytes"]))
    with writing_to(where), temporary_folder("export", where) as draft:
        yield draft


def _write(
    record: Record,
    planned: list[Format],
    draft: Path,
    data: Prepared,
    say: Callable[[str], None],
    name: str,
    speed: bool,
    request: str,
) -> dict[str, Proof]:
    """All formats, proven, with card and manifest, nothing private among them."""
    from kit.models.backends.backend import backend_in
    from kit.publishing.card import model_card
    from kit.publishing.card_facts import CardFormat
    from kit.publishing.formats import packages, write_format
    from kit.publishing.reproduce import reproduction_of
    from kit.publishing.reuse import told
    from kit.publishing.verify import verify
    from kit.workflows.export_speed import SpeedSection, measure_speed

    proofs: dict[str, Proof] = {}
    formats: list[CardFormat] = []
    first = record
    for made in planned:
        place = made.name if formats else "."
        source = record if made.step is None else _compressed(record, made.step)
        first = first if formats else source
        say(f"writing {made.name} and answering {len(data.test):,} test examples with it in a fresh process")
        write_format(made, source, draft / place)
        proofs[made.name] = proof = verify(made, draft / place, source, record, data)
        needs = packages(made, draft / place)
        formats.append(CardFormat(made.name, place, made.loader, made.arguments, needs, proof.line))
    recipe = public(record.recipe.model_dump(mode="json", exclude_defaults=True))
    speed_section = SpeedSection([], [])
    # An adapter alone is as fast as its base with it.
    measured = {each.name: draft / each.folder for each in formats if each.loader != "peft"}
    if speed and measured:
        say("measuring speed for the card, a minute or more (--no-speed leaves it out)")
        speed_section = measure_speed(record, measured, data.test.texts)
    facts = _facts(record, name, recipe, formats, first)
    facts = replace(
        facts,
        cut=_cut(first, data),
        languages=_languages(record, data, facts.languages),
        reproduction=reproduction_of(first),
        speeds=speed_section.rows,
        speed_notes=speed_section.notes,
    )
    (draft / CARD_FILE).write_text(model_card(first, facts), "utf-8")
    Manifest(
        record=record.id,
        how=record.how,
        recipe=recipe,
        labels=record.labels,
        text_columns=tuple(record.content["data"]["text_columns"]),
        formats={each.name: each.folder for each in formats},
        backends={form.name: backend_in(draft / form.folder) for form in formats},
        proven=told(request, draft, proofs),
    ).write(draft)
    _require_private(record, draft)
    return proofs


def _require_private(record: Record, folder: Path) -> None:
    from huggingface_hub import constants

    from kit.publishing.privacy import require_private

    local = local_paths([record.content["recipe"], record.content["checkpoint"]])
    require_private(folder, (record.folder.parent.resolve(), folder.parent, Path(constants.HF_HOME), *local))


def _compressed(record: Record, step: str) -> Record:
    """The Record of one more step of compression, found again if it is there."""
    from kit.recipe.load import override_recipe
    from kit.runs.derived_recipes import compression_recipe
    from kit.workflows.compress import compress

    recipe = override_recipe(
        compression_recipe(record.folder), [f"compress.steps=[{step}]", "compress.gate.retained=null"]
    )
    return compress(recipe, quiet=True).links[0].record


def _facts(
    record: Record,
    name: str,
    recipe: dict[str, Any],
    formats: list[CardFormat],
    first: Record,
) -> CardFacts:
    from kit.publishing.card_facts import CardFacts
    from kit.publishing.licences import checkpoint_source, data_source

    checkpoint = checkpoint_source(record.content["checkpoint"])
    revision = record.content["data"]["revision"]
    data = data_source(record.recipe.data.source, revision) if isinstance(record.recipe.data.source, str) else None
    return CardFacts(
        name=name,
        recipe=recipe,
        history=_history(first),
        vocabulary=_vocabulary(first),
        formats=formats,
        checkpoint=public((record.content["checkpoint"] or {}).get("name")),
        base=checkpoint.hub,
        licence=checkpoint.licence,
        dataset=data.hub if data else None,
        data_licence=data.licence if data else None,
        languages=checkpoint.languages,
    )


def _languages(record: Record, data: Prepared, of_checkpoint: Sequence[str]) -> tuple[str, ...]:
    """Return the languages of a translation from its recipe, otherwise those of the training texts."""
    from kit.publishing.languages import card_languages
    from kit.publishing.licences import data_source

    section = record.recipe.data
    if section.languages is not None:
        return tuple(section.languages)
    declared: tuple[str, ...] = ()
    if isinstance(section.source, str):
        declared = data_source(section.source, record.content["data"]["revision"]).languages
    return card_languages([" ".join(row) for row in data.train.texts], declared, of_checkpoint)


def _history(record: Record) -> list[str]:
    """What distillation and compression said of the runs that this one was made of, the earliest first.

    A chain lies beside the Record that it ended with. One whose steps were all undone ended with its start, and made
    nothing of it; one that began before others of these runs tells of them too.
    """
    from kit.workflows.compress import CHAIN_FILE
    from kit.workflows.distill import VERDICT_FILE

    lines: list[str] = []
    begun: str | None = None
    for each in _line(record):
        if begun not in (None, each.id):
            continue
        begun = None
        if (each.folder / VERDICT_FILE).is_file():
            lines = read_sealed(each.folder / VERDICT_FILE, VerdictContent, _REPEAT.format("distill"))["lines"] + lines
        if (each.folder / CHAIN_FILE).is_file():
            chain = read_sealed(each.folder / CHAIN_FILE, ChainContent, _REPEAT.format("compress"))
            if chain["source"] != each.id:
                lines, begun = chain["lines"] + lines, chain["source"]
    return list(dict.fromkeys(lines))


def _vocabulary(record: Record) -> dict[str, Any] | None:
    """What the step that trimmed the vocabulary noted, be it this run's own or one that it was made of."""
    settings = (each.content["settings"] for each in _line(record))
    return next((each for each in settings if "new_texts_read_differently" in each), None)


def _cut(record: Record, data: Prepared) -> float | None:
    """Share of the test texts that the model does not read to their end; None for one without a tokenizer."""
    from kit.data.encode import encode
    from kit.models.checkpoints.loading import load_tokenizer

    if record.content["checkpoint"] is None:
        return None
    encoded = encode(data.test.texts, load_tokenizer(record.model_folder), record.recipe.data.max_length)
    return float(encoded.truncated.mean())


def _line(record: Record) -> list[Record]:
    """The run and those that it was compressed from, where they still are, the latest first."""
    found = [record]
    while compression := found[-1].content["settings"].get("compression"):
        folder = found[-1].folder.parent / compression["source"]
        if not (folder / RECORD_FILE).is_file() or any(folder == each.folder for each in found):
            break
        before = Record.read(folder)
        if before.id != compression["source"]:
            break
        found.append(before)
    return found
