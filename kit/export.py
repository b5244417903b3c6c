"""Export: a finished run becomes a folder that anybody can load, proven to answer as the run did, and goes to the Hub.

Nothing is left behind where the proof fails: the folder is made beside its place, and moved there when it is whole.

Knows Records and stages of publishing. Trains nothing.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import OutputError, RecipeError
from kit.files import publish, require_space, writing_to
from kit.measurement.units import megabytes
from kit.publishing.local import local_paths, public
from kit.publishing.manifest import CARD_FILE, Manifest, written_files
from kit.record import Record

if TYPE_CHECKING:
    from kit.data import Prepared
    from kit.measurement.intervals import Estimate
    from kit.publishing.formats import Format
    from kit.publishing.hub import Pushed, Target
    from kit.publishing.verify import Proof
    from kit.report.card import CardFacts, CardFormat

_VERDICTS = ("verdict.json", "chain.json")  # what `distill` and `compress` write beside Records
_ROUNDS = 3
_TIMED_TEXTS = 256


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
    speed: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Exported:
    """Write a run's model in these formats (none: its own), prove each, and push the folder if there is a target.

    to: the folder; one that kit exported before is replaced, another only with `overwrite`. speed: measure for the
    card. say: is told what is being done.
    Raises KitError: for what cannot be exported before anything is computed, ExportError where an answer differs, or
    the Hub refuses.
    """
    from kit.evaluate import prepared_for, require_metrics
    from kit.publishing.formats import plan_formats
    from kit.publishing.hub import push, require_target
    from kit.publishing.whole import require_same, require_told

    if to is None and target is None:
        raise RecipeError(
            "nowhere to export to", "give a folder (--to exported/), a repository (--push user/name), or both"
        )
    record = Record.load(Path(run).resolve())
    require_told(record)
    planned = plan_formats(record, list(formats))
    final = None if to is None else _place(Path(to), overwrite, record)
    if target is not None:
        require_target(target)
    data = prepared_for(record)
    require_same(record, data)
    require_metrics(record, data)
    with _draft(final, record) as draft:
        proofs = _write(record, planned, draft, data, say, target.name if target else (final or draft).name, speed)
        size = sum(path.stat().st_size for path in draft.rglob("*") if path.is_file())
        pushed = None
        if target is not None:
            say(f"pushing {megabytes(size)} to {target.name}")
            pushed = push(draft, target, f"{record.id}, exported by kit")
        if final is not None:
            publish(draft, final)
    return Exported(record, final, size, proofs, pushed)


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
    there = {path.relative_to(final).as_posix() for path in final.rglob("*") if not path.is_dir()}
    written = written_files(final)
    others = sorted(there - (written or set()))
    if others and not overwrite:
        why = "is not empty and was not made by kit export" if written is None else f"holds {others[0]}, not by kit"
        raise OutputError(f"--to: {to} {why}", "choose another folder, or --overwrite")
    return final


@contextmanager
def _draft(final: Path | None, record: Record) -> Iterator[Path]:
    """A folder that is there until the export has ended; beside its place, so that it can be moved there."""
    where = Path(tempfile.gettempdir()) if final is None else final.parent
    require_space(where, 4 * int(record.content["model_bytes"]))
    with writing_to(where):
        draft = Path(tempfile.mkdtemp(prefix=".kit-export-", dir=where))
        draft.chmod(0o755)
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _write(
    record: Record,
    planned: list[Format],
    draft: Path,
    data: Prepared,
    say: Callable[[str], None],
    name: str,
    speed: bool,
) -> dict[str, Proof]:
    """All formats, proven, with card and manifest, nothing private among them."""
    from huggingface_hub import constants

    from kit.publishing.formats import packages, write_format
    from kit.publishing.scan import require_private
    from kit.publishing.verify import verify
    from kit.report.card import CardFormat, model_card

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
    manifest = Manifest(
        record=record.id,
        how=record.how,
        recipe=recipe,
        labels=record.labels,
        text_columns=tuple(record.content["data"]["text_columns"]),
        formats={each.name: each.folder for each in formats},
    )
    speeds: list[list[str]] = []
    # An adapter alone is as fast as its base with it.
    measured = {each.name: draft / each.folder for each in formats if each.loader != "peft"}
    if speed and measured:
        say("measuring speed for the card, a minute or more (--no-speed leaves it out)")
        speeds = _speeds(record, measured, data)
    facts = _facts(record, name, recipe, formats, _history(first), speeds)
    (draft / CARD_FILE).write_text(model_card(first, facts), "utf-8")
    manifest.write(draft)
    local = local_paths([record.content["recipe"], record.content["checkpoint"]])
    require_private(draft, (record.folder.parent.resolve(), draft.parent, Path(constants.HF_HOME), *local))
    return proofs


def _compressed(record: Record, step: str) -> Record:
    """The Record of one more step of compression, found again if it is there."""
    from kit.compress import compress, recipe_of
    from kit.recipe.load import override_recipe

    recipe = override_recipe(recipe_of(record.folder), [f"compress.steps=[{step}]", "compress.gate.retained=null"])
    return compress(recipe, quiet=True).links[0].record


def _facts(
    record: Record,
    name: str,
    recipe: dict[str, Any],
    formats: list[CardFormat],
    history: list[str],
    speeds: list[list[str]],
) -> CardFacts:
    from kit.publishing.sources import checkpoint_source, data_source
    from kit.report.card import CardFacts

    checkpoint = checkpoint_source(record.content["checkpoint"])
    revision = record.content["data"]["revision"]
    data = data_source(record.recipe.data.source, revision) if isinstance(record.recipe.data.source, str) else None
    return CardFacts(
        name=name,
        recipe=recipe,
        history=history,
        formats=formats,
        speeds=speeds,
        checkpoint=public((record.content["checkpoint"] or {}).get("name")),
        base=checkpoint.hub,
        licence=checkpoint.licence,
        dataset=data.hub if data else None,
        data_licence=data.licence if data else None,
        languages=tuple(record.recipe.data.languages or checkpoint.languages),
    )


def _history(record: Record) -> list[str]:
    """What distillation and compression said of the runs that this one was made of, the earliest first."""
    found: list[list[str]] = []
    folder: Path | None = record.folder
    seen = set()
    while folder is not None and folder not in seen and (folder / "record.json").is_file():
        seen.add(folder)
        lines = [
            str(line)
            for name in _VERDICTS
            if (folder / name).is_file()
            for line in json.loads((folder / name).read_text("utf-8"))["lines"]
        ]
        found.insert(0, lines)
        compression = Record.read(folder).content["settings"].get("compression")
        folder = folder.parent / compression["source"] if compression else None
    return list(dict.fromkeys(line for lines in found for line in lines))


def _speeds(record: Record, folders: dict[str, Path], data: Prepared) -> list[list[str]]:
    """Rows of a table: the run's teacher or source, if it is still there, and each format, measured in turns."""
    from kit.bench import bench
    from kit.provenance import provenance

    others = {path.name: path for path in _before(record)}
    with tempfile.TemporaryDirectory(prefix="kit-texts-") as scratch:
        texts = Path(scratch) / "texts.txt"
        rows = [" ".join(" ".join(row).split()) for row in data.test.texts[:_TIMED_TEXTS]]
        texts.write_text("\n".join(row for row in rows if row), "utf-8")
        names = [*others, *folders]
        subjects = bench([*others.values(), *folders.values()], texts=texts, rounds=_ROUNDS, energy=False)
    where = provenance()
    machine = ", ".join(where["gpus"]) or f"{where['cpu']}, threads: {subjects[0].threads}"
    head = ["model", "files", f"one text, median ms ({machine})", "texts a second", "against the first, one text"]
    return [
        head,
        *(
            [
                name,
                megabytes(subject.size_bytes),
                f"{subject.p50_ms:.2f}",
                f"{subject.texts_per_second:,.0f}",
                _times(subject.speedups),
            ]
            for name, subject in zip(names, subjects, strict=True)
        ),
    ]


def _times(speedups: tuple[Estimate, Estimate] | None) -> str:
    if speedups is None:
        return "1"
    single = speedups[0]
    return f"{single.value:.1f}x as fast [{single.low:.1f}, {single.high:.1f}]"


def _before(record: Record) -> list[Path]:
    """The model that the run was distilled from, or compressed from first, where it still is."""
    settings, runs = record.content["settings"], record.folder.parent
    names = [str(each["record"]) for each in settings.get("teachers", []) if each["record"]][:1]
    if "compression" in settings:
        names = [settings["compression"]["start"]]
    return [runs / name for name in names if (runs / name / "model").is_dir()]
