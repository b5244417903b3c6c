"""Export of a finished run: a verified folder that loads without kit, and its push to the Hub.

The folder is written as a hidden draft beside its place and moved there after the verification, so a failed export
leaves nothing behind. If the push fails, the verified folder is kept, and the same command pushes it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import MAKE_AGAIN, OutputError, RecipeError
from kit.publishing.manifest import CARD_FILE, Manifest, written_files
from kit.publishing.private_paths import local_paths, public
from kit.records.content import CardContent
from kit.records.record import Record
from kit.runtime.file_types import RECORD_FILE, read_types
from kit.runtime.files import publish, remove_left_aside, require_space, writing_to
from kit.runtime.names import OF_FILE_MANAGERS
from kit.runtime.quantities import megabytes
from kit.runtime.temporary import temporary_folder

if TYPE_CHECKING:
    from kit.data import Prepared
    from kit.publishing.card_facts import CardFormat
    from kit.publishing.formats import Format
    from kit.publishing.hub_push import Pushed, Target
    from kit.publishing.verify import Proof


@dataclass(frozen=True)
class Exported:
    """Result of an export.

    Attributes:
        record: Exported run.
        folder: Exported folder; None if the export was only pushed.
        size_bytes: Size of the exported files.
        proofs: Result of the verification by format.
        pushed: Result of the push; None without a push.
    """

    record: Record
    folder: Path | None
    size_bytes: int
    proofs: dict[str, Proof]
    pushed: Pushed | None

    @property
    def lines(self) -> list[str]:
        """Result in words, for the terminal."""
        lines = [f"{name}: {proof.line}" for name, proof in self.proofs.items()]
        if self.folder is not None:
            lines.append(f"exported {self.record.id} to {self.folder} ({megabytes(self.size_bytes)})")
        if self.pushed is not None:
            lines.append(f"pushed {self.record.id} ({megabytes(self.size_bytes)}) to {self.pushed.address}")
        return lines


def export(  # noqa: PLR0913
    run: str | Path,
    *,
    formats: Sequence[str] = (),
    to: str | Path | None = None,
    target: Target | None = None,
    overwrite: bool = False,
    with_code: bool = False,
    speed: bool = True,
    chosen: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Exported:
    """Export a run in one or several formats, verify each format, and push the folder if there is a target.

    Args:
        run: Folder of a finished run.
        formats: Names of formats; empty for the model's own, or ONNX where transformers needs code to load that.
        to: Folder to write. A folder that kit exported is replaced, any other folder only with `overwrite`.
        target: Repository on the Hub to push to; None for no push.
        overwrite: Whether to replace a folder that kit did not export.
        with_code: Whether to add the Python module that transformers needs for an architecture of kit.
        speed: Whether to measure speed for the card.
        chosen: Lines for the card on the study that chose the run.
        say: Called with a line about each stage.

    Returns:
        The Record, the folder, the result of the verification of each format, and the commit.

    Raises:
        KitError: The run cannot be exported; raised before anything is computed.
        ExportError: A prediction of the exported model differs, or the Hub refuses the push.
    """
    from kit.publishing.formats import plan_formats
    from kit.publishing.hub_push import push, require_target
    from kit.publishing.reuse import cached_export, find_proven, request_of
    from kit.workflows.export_card import history

    if to is None and target is None:
        raise RecipeError(
            "no place to export to", "pass a folder (--to exported/), a repository (--push user/name), or both"
        )
    record = Record.load(Path(run).resolve())
    read_types(record.folder / RECORD_FILE, record.to_dict(), CardContent, MAKE_AGAIN)
    planned = plan_formats(record, list(formats), with_code)
    place = None if to is None else _place(Path(to), overwrite, record)
    if target is not None:
        require_target(target)
    data = _same_data(record)
    with cached_export(record) if place is None else nullcontext(place) as final:
        name = target.name if target else final.name
        request = request_of(record, planned, name, speed, [*chosen, *history(record)])
        order = _Order(planned, name, speed, tuple(chosen), request=request)
        proofs = find_proven(final, order.request)
        if proofs is None:
            with _draft(final.parent, record) as draft:
                proofs = _write(record, order, draft, data, say)
                publish(draft, final)
        else:
            remove_left_aside(final)
            say(f"reusing the verified folder of {record.id}")
            _require_private(record, final)
        size = sum(path.stat().st_size for path in final.rglob("*") if path.is_file())
        pushed = None
        if target is not None:
            say(f"pushing {megabytes(size)} to {target.name}")
            pushed = push(final, target, f"{record.id}, exported by kit")
        if place is None:
            shutil.rmtree(final)
    return Exported(record, place, size, proofs, pushed)


def _same_data(record: Record) -> Prepared:
    """Return the data of a run. Raise an error if they or the metrics have changed since."""
    from kit.workflows.evaluate import prepared_for, require_metrics, require_same_data

    data = prepared_for(record)
    require_same_data(record, data)
    require_metrics(record, data)
    return data


def _place(to: Path, overwrite: bool, record: Record) -> Path:
    """Return the folder to export to. Raise OutputError if it is needed or has files that kit did not export."""
    with writing_to(to):
        final = to.resolve()
        if to.exists() and not to.is_dir():
            raise OutputError(f"--to: {to} is a file, not a folder", "choose another folder")
    if final.is_relative_to(record.model_folder):
        raise OutputError(f"--to: {to} is in the folder of the run's model", "choose another folder")
    for needed, what in ((record.folder, "the run"), (Path.cwd(), "the current folder")):
        if needed.is_relative_to(final):
            raise OutputError(f"--to: {to} contains {what}, which would be replaced", "choose another folder")
    paths = [path for path in final.rglob("*") if path.is_symlink() or not path.is_dir()]
    present = {path.relative_to(final).as_posix() for path in paths if path.name not in OF_FILE_MANAGERS}
    written = written_files(final)
    others = sorted(present - (written or set()))
    if others and not overwrite:
        reason = f"contains {others[0]}, which kit did not export"
        if written is None:
            reason = "is not empty and was not written by kit export"
        raise OutputError(f"--to: {to} {reason}", "choose another folder, or --overwrite")
    return final


@contextmanager
def _draft(parent: Path, record: Record) -> Iterator[Path]:
    """Yield a temporary folder in the parent of the exported folder; it is removed if it is not moved away."""
    require_space(parent, 4 * record.content.model_bytes)
    with writing_to(parent), temporary_folder("export", parent) as draft:
        yield draft


@dataclass(frozen=True)
class _Order:
    """Content of an export, as the user requested it.

    Attributes:
        formats: Formats of the model.
        name: Name of the repository or folder, for the card.
        speed: Measure the speed for the card.
        chosen: Lines for the card on the study that chose the run.
        request: Hash of everything that the exported folder depends on.
    """

    formats: list[Format]
    name: str
    speed: bool
    chosen: tuple[str, ...]
    request: str


def _write(record: Record, order: _Order, draft: Path, data: Prepared, say: Callable[[str], None]) -> dict[str, Proof]:
    """Write and verify all formats, the card and the manifest. Raise ExportError for private content."""
    from kit.models.kinds import KINDS, backend_in
    from kit.publishing.card import model_card
    from kit.publishing.reproduce import reproduction_of
    from kit.publishing.reuse import proof_entry
    from kit.workflows.export_card import card_facts
    from kit.workflows.export_speed import SpeedSection, measure_speed

    written = _write_formats(record, order.formats, draft, data, say)
    recipe = public(record.recipe.model_dump(mode="json", exclude_defaults=True))
    speed_section = SpeedSection([], [])
    # An adapter alone is not measured: it runs as fast as the merged model.
    measured = {form.name: draft / form.folder for form in written.formats if KINDS[form.loader].runs_on}
    if order.speed and measured:
        say("measuring speed for the card, a minute or more (--no-speed omits it)")
        speed_section = measure_speed(record, measured, data.test.texts)
    facts = replace(
        card_facts(record, written.first, data, name=order.name, recipe=recipe, formats=written.formats),
        reproduction=reproduction_of(written.first),
        chosen=order.chosen,
        speeds=speed_section.rows,
        speed_notes=speed_section.notes,
    )
    (draft / CARD_FILE).write_text(model_card(written.first, facts), "utf-8")
    held_out = record.content.settings.held_out
    Manifest(
        record=record.id,
        how=record.how,
        recipe=recipe,
        labels=record.labels,
        text_columns=record.content.data.text_columns,
        formats={form.name: form.folder for form in written.formats},
        backends={form.name: backend_in(draft / form.folder) for form in written.formats},
        held_out={} if held_out is None else held_out.to_dict(),
        proven=proof_entry(order.request, draft, written.proofs),
    ).write(draft)
    _require_private(record, draft)
    return written.proofs


@dataclass(frozen=True)
class _WrittenFormats:
    """Formats in the draft, their proofs, and the Record whose files the first format has."""

    formats: list[CardFormat]
    proofs: dict[str, Proof]
    first: Record


def _write_formats(
    record: Record, planned: list[Format], draft: Path, data: Prepared, say: Callable[[str], None]
) -> _WrittenFormats:
    """Write each format and verify it; the first format lies at the top of the folder."""
    from kit.publishing.card_facts import CardFormat
    from kit.publishing.formats import write_format
    from kit.publishing.verify import verify

    proofs: dict[str, Proof] = {}
    formats: list[CardFormat] = []
    first = record
    for form in planned:
        folder = form.name if formats else "."
        source = record if form.step is None else _compressed(record, form.step)
        first = first if formats else source
        say(f"writing {form.name} and predicting {len(data.test):,} test examples with it in a new process")
        write_format(form, source, draft / folder)
        proofs[form.name] = proof = verify(form, draft / folder, source, record, data)
        required = form.kind.requirements(draft / folder)
        formats.append(CardFormat(form.name, folder, form.loader, form.arguments, required, proof.line))
    return _WrittenFormats(formats, proofs, first)


def _require_private(record: Record, folder: Path) -> None:
    from huggingface_hub import constants

    from kit.publishing.privacy import require_private

    local = local_paths([record.content.recipe.to_dict(), record.content.checkpoint_name])
    require_private(folder, (record.folder.parent.resolve(), folder.parent, Path(constants.HF_HOME), *local))


def _compressed(record: Record, step: str) -> Record:
    """Return the Record of one more compression step, which is computed if it does not exist."""
    from kit.recipe.load import override_recipe
    from kit.runs.derived_recipes import compression_recipe
    from kit.workflows.compress import compress

    recipe = override_recipe(
        compression_recipe(record.folder), [f"compress.steps=[{step}]", "compress.gate.retained=null"]
    )
    return compress(recipe, quiet=True).links[0].record
