"""Reproduction of a run: recipes and commands that give the same run id, and the files that they need.

The recipes contain no local paths: local files get new names, relative to an empty folder.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kit.compression.chain_steps import chain_steps
from kit.errors import KitError
from kit.recipe import Recipe
from kit.recipe.load import recipe_to_yaml
from kit.recipe.sections.compression import CompressSection, Step
from kit.recipe.sections.study import StudySection
from kit.records.record import Record
from kit.runtime.file_types import RECORD_FILE
from kit.runtime.files import file_sha256

RUNS = "runs"  # folder that the commands write runs to


@dataclass(frozen=True)
class Reproduction:
    """Commands that repeat a run in a folder that contains the needed files.

    Attributes:
        run: Id of the run that the last command produces.
        recipes: YAML by file name.
        commands: Commands in order; each reads one of the recipes.
        files: sha256 of each needed file, by its path relative to the folder.
        missing: Sentences about inputs that are no longer on this machine.
    """

    run: str
    recipes: dict[str, str]
    commands: tuple[str, ...]
    files: dict[str, str]
    missing: tuple[str, ...] = ()


def reproduction_of(record: Record) -> Reproduction:
    """Return the commands that repeat a run, with those of its teachers and all its compression steps."""
    writer = _Writer()
    writer.write(record, "model")
    files = {name: file_sha256(path) for name, path in sorted(writer.places.files.items())}
    return Reproduction(record.id, writer.recipes, tuple(writer.commands), files, tuple(writer.missing))


@dataclass
class _Places:
    """New names of local files and folders.

    Attributes:
        names: New name by path, as a recipe contains it.
        files: Path of each file by its new name.
    """

    names: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)

    def name(self, value: str, used: Sequence[Path]) -> str:
        """Return the new name of a path in a recipe.

        Args:
            value: A file, a folder, a glob, or a common stem of several files.
            used: Files that the path stands for.
        """
        if value not in self.names:
            path = Path(value).expanduser()
            if path.is_file():
                self.names[value] = self._free(path.name)
                self.files[self.names[value]] = path
            else:
                root = path if path.is_dir() else _folder_of(path)
                folder = self._free(root.resolve().name or "data")
                rest = path.relative_to(root).as_posix()
                self.names[value] = folder if rest == "." else f"{folder}/{rest}"
                self.files |= {f"{folder}/{file.relative_to(root).as_posix()}": file for file in used}
        return self.names[value]

    def _free(self, name: str) -> str:
        """Return the name, in a new folder if the name is in use."""
        used = {path.split("/")[0] for path in (*self.files, *self.names.values())} | {RUNS}
        candidate, number = name, 2
        while candidate.split("/")[0] in used:
            candidate, number = f"files-{number}/{name}", number + 1
        return candidate


@dataclass
class _Writer:
    """Collects recipes and commands, teachers first.

    Attributes:
        recipes: YAML by file name.
        commands: Commands in order.
        missing: Sentences about missing inputs.
        places: New names of local files.
        done: Ids of the runs that are written already.
    """

    recipes: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    places: _Places = field(default_factory=_Places)
    done: set[str] = field(default_factory=set)

    def write(self, record: Record, name: str) -> None:
        """Add the recipe and the command of a run, after those of its teachers."""
        if record.id in self.done:
            return
        self.done.add(record.id)
        recipe, steps = record.recipe, chain_steps(record)
        teacher = self._teachers(record, recipe) if recipe.method == "distill" else recipe.distill.teacher
        section = recipe.distill.model_copy(update={"teacher": teacher})
        update = {"runs": RUNS, "study": StudySection(), "compress": CompressSection(), "distill": section}
        file = self._file(name)
        self.recipes[file] = recipe_to_yaml(self._portable(recipe.model_copy(update=update), record)) + _chain(steps)
        self.commands.append(f"kit {'compress' if steps else 'finetune'} {file}")

    def _file(self, name: str) -> str:
        number = sum(file.rpartition(".")[0].rstrip("-0123456789") == name for file in self.recipes)
        return f"{name}-{number + 1}.yaml" if number else f"{name}.yaml"

    def _teachers(self, record: Record, recipe: Recipe) -> str | list[str] | None:
        """Return the teachers as the new recipe names them: runs by the folder that their commands write."""
        teacher = recipe.distill.teacher
        names = [self._teacher(record, name) for name in ([teacher] if isinstance(teacher, str) else teacher or [])]
        return names[0] if isinstance(teacher, str) else names or None

    def _teacher(self, record: Record, name: str) -> str:
        path = Path(name).expanduser()
        for folder in (path, path.parent, record.folder.parent / path.name):
            if (folder / RECORD_FILE).is_file():
                teacher = Record.read(folder)
                self.write(teacher, "teacher")
                return f"{RUNS}/{teacher.id}"
        return str(self._checkpoint(name))

    def _portable(self, recipe: Recipe, record: Record) -> Recipe:
        """Return the recipe with new names for local files, and with revisions for data and checkpoints of the Hub."""
        data, content = recipe.data, record.content
        languages = None if data.languages is None else data.language_pair
        update: dict[str, Any] = {
            key: self._data(getattr(data, key), f"data.{key}", languages) for key in ("source", "test")
        }
        if content.data.revision:
            update["revision"] = content.data.revision
        section, checkpoint = recipe.distill, recipe.model.checkpoint
        model: dict[str, Any] = {"checkpoint": self._checkpoint(checkpoint)}
        origin = content.checkpoint
        if origin is not None and origin.name == checkpoint and origin.revision:
            model["revision"] = origin.revision
        student = {"checkpoint": self._checkpoint(section.student.checkpoint)}
        augment = {"checkpoint": self._checkpoint(section.augment.checkpoint)}
        distill = {
            "texts": self._data(section.texts, "distill.texts", None),
            "student": section.student.model_copy(update=student),
            "augment": section.augment.model_copy(update=augment),
        }
        return recipe.model_copy(
            update={
                "data": data.model_copy(update=update),
                "model": recipe.model.model_copy(update=model),
                "distill": section.model_copy(update=distill),
            }
        )

    def _data(
        self, source: str | list[str] | None, key: str, languages: tuple[str, str] | None
    ) -> str | list[str] | None:
        if source is None:
            return None
        if isinstance(source, list) and languages is None:
            return [str(self._data(name, key, None)) for name in source]
        names = [source] if isinstance(source, str) else source
        try:
            used = list(_data_files(source, key, languages))
        except KitError:
            self.missing += [f"{Path(name).name} ({key}) was not found." for name in names]
            names = [Path(name).name for name in names]
        else:
            names = [self.places.name(name, used) for name in names] if used else names
        return names[0] if isinstance(source, str) else names

    def _checkpoint(self, name: str | None) -> str | None:
        """Return a new name for a local checkpoint; names on the Hub and in packages stay as they are."""
        if name is None:
            return None
        folder = Path(name).expanduser()
        if folder.is_dir():
            return self.places.name(name, [path for path in sorted(folder.rglob("*")) if path.is_file()])
        if folder.is_absolute() or name.startswith((".", "~")):
            self.missing.append(f"The checkpoint {folder.name} was not found.")
            return folder.name
        return name


def _chain(steps: Sequence[Step]) -> str:
    """Return the recipe section that runs these compression steps without a gate; empty without steps."""
    if not steps:
        return ""
    listed: list[Any] = []
    for step in steps:
        settings = step.model_dump(mode="json", exclude_defaults=True, exclude={"technique"})
        settings.pop("technique", None)
        listed.append({step.technique: settings} if settings else step.technique)
    return yaml.safe_dump({"compress": {"steps": listed, "gate": None}}, sort_keys=False)


def _data_files(source: str | list[str], key: str, languages: tuple[str, str] | None) -> Iterator[Path]:
    """Yield the local files of a data source; none for data on the Hub or in a package."""
    from kit.data.locate import Files, locate
    from kit.data.parallel_files import aligned_files

    pairs = None if languages is None else aligned_files(source, key, languages)
    if pairs is not None:
        for pair in pairs.values():
            yield from pair
        return
    located, names = locate(source, key, languages), [source] if isinstance(source, str) else source
    if isinstance(located, Files) and not all(":" in name and not Path(name).exists() for name in names):
        for paths in located.splits.values():
            for path in paths:
                yield from (file for file in sorted(path.rglob("*")) if file.is_file()) if path.is_dir() else (path,)


def _folder_of(path: Path) -> Path:
    """Return the folder of a glob or of a stem: the longest leading part without wildcards."""
    folder = path.parent
    while glob.has_magic(str(folder)):
        folder = folder.parent
    return folder
