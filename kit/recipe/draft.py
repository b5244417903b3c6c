"""Drafts: recipes as plain data with the place of each key, before they are validated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, Self, TypeVar

from pydantic import ValidationError

from kit.errors import RecipeError
from kit.recipe.keys import KeyPath, Keys
from kit.recipe.problems import Problem, nearest, problems_of
from kit.recipe.section import Section
from kit.recipe.yaml_text import YamlParser

MAX_BYTES = 1_000_000
_ADVICE = "kit new my.yaml --train data.csv writes a recipe for your own data."
# First characters that have a meaning in YAML, which `--set data.source=*.csv` does not intend.
_INDICATORS = tuple("*&%@`|>,")

SchemaT = TypeVar("SchemaT", bound=Section)


class Place(NamedTuple):
    """Place of a key in a recipe: its rank among the places, and its name, such as `my.yaml:7`."""

    rank: int
    name: str


@dataclass
class Draft(Generic[SchemaT]):
    """Plain data that are to become a recipe.

    Attributes:
        schema: Schema of the recipe.
        name: Name of the recipe in errors, such as its path.
        content: Value of each key, not validated.
        places: Place of each key that a text or an override sets.
    """

    schema: type[SchemaT]
    name: str
    content: dict[str, Any]
    places: dict[KeyPath, Place] = field(default_factory=dict)

    @classmethod
    def from_file(cls, schema: type[SchemaT], path: Path, overrides: Sequence[str] = ()) -> Self:
        """Return the draft in a YAML file with `key=value` overrides applied. Raises RecipeError."""
        draft = cls.from_yaml(schema, _read(path), str(path))
        draft.override(overrides)
        return draft

    @classmethod
    def from_yaml(cls, schema: type[SchemaT], text: str, name: str) -> Self:
        """Return the draft in a YAML text. Raises RecipeError."""
        parser = YamlParser(name)
        content = parser.parse(text)
        if content is None:
            raise parser.error("the recipe is empty", hint=_ADVICE)
        if not isinstance(content, dict):
            kind = "a list" if isinstance(content, list) else "a single value"
            raise parser.error(f"a recipe is a mapping of keys (task: ..., data: ...), not {kind}")
        return cls(schema, name, content, {key: Place(line, f"{name}:{line}") for key, line in parser.lines.items()})

    def override(self, overrides: Sequence[str]) -> None:
        """Set keys by `key=value`, where the value is YAML; the last one of the same key counts.

        Raises RecipeError.
        """
        for number, override in enumerate(overrides):
            self._set(override, Place(MAX_BYTES + number, f"--set {override}"))  # after all lines of a file

    def validated(self) -> SchemaT:
        """Return the recipe.

        Raises:
            RecipeError: With the place and the key of every problem, and the nearest valid key.
        """
        keys = Keys(self.schema)
        # A section whose keys are all commented out is null in YAML.
        empty: dict[str, Any] = {
            name: {} for name, value in self.content.items() if value is None and keys.section((name,))
        }
        try:
            recipe = self.schema.model_validate(self.content | empty)
        except ValidationError as error:
            raise RecipeError(self._report(problems_of(error, self.schema))) from None
        if problems := recipe.problems():
            raise RecipeError(self._report([Problem(path, message) for path, message in problems]))
        return recipe

    def place(self, path: KeyPath) -> Place:
        """Return the place of a key: its own, that of the first key inside it, or that of its section."""
        if path in self.places:
            return self.places[path]
        below = [place for key, place in self.places.items() if path and key[: len(path)] == path]
        above = [path[:length] for length in range(len(path) - 1, 0, -1)]
        nearby = next((self.places[key] for key in above if key in self.places), Place(0, self.name))
        return min(below, default=nearby)

    def _set(self, override: str, place: Place) -> None:
        parser = YamlParser(place.name, is_file=False)
        key, sign, text = override.partition("=")
        key, text = key.strip(), text.strip()
        if not sign or not all(key.split(".")):
            raise parser.error("expected key=value", hint="For example --set train.epochs=2.")
        value = text if text.startswith(_INDICATORS) else parser.parse(text)
        path = Keys(self.schema).split(key)
        section = self.content
        for depth, part in enumerate(path[:-1], start=1):
            if section.get(part) is None:
                section[part] = {}
            section = section[part]
            if not isinstance(section, dict):
                whole = ".".join(path[:depth])
                raise parser.error(
                    f"{whole} is not a section, so {path[depth]} cannot be set in it",
                    hint=f"its value is {section!r}; if the key takes a section, set all of it: {whole}={{...}}",
                )
        section[path[-1]] = value
        for inner_path in [known for known in self.places if known[: len(path)] == path]:
            del self.places[inner_path]
        self.places[path] = place

    def _report(self, problems: Sequence[Problem]) -> str:
        """Return the problems with their places, in the order of the file; a single one on a single line."""
        located = sorted((*self.place(problem.path), problem.message) for problem in problems)
        lines = [f"{place}: {message}" for _, place, message in located]
        if len(lines) == 1:
            return lines[0]
        return "\n  ".join([f"{self.name}: {len(lines)} problems, nothing was run", *lines])


def _read(path: Path) -> str:
    """Return the text of a recipe file.

    Raises RecipeError, with the recipes nearby as the hint.
    """
    try:
        if path.is_dir():
            raise RecipeError(f"{path} is a folder, not a recipe", _nearby(path, path.name))
        if path.is_fifo() and not path.is_relative_to("/dev"):  # reading may block forever
            raise RecipeError(f"{path} is not a regular file", _ADVICE)
        if path.stat().st_size > MAX_BYTES:
            raise RecipeError(f"{path}: {path.stat().st_size / 1e6:.0f} MB is too large for a recipe", _ADVICE)
        content = path.read_bytes()
    except FileNotFoundError:
        raise RecipeError(f"{path} does not exist", _nearby(path.parent, path.name)) from None
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"{path}:{line}: not UTF-8 text (byte {content[error.start]:#04x})"
        raise RecipeError(message, "Save the file with the encoding UTF-8.") from None


def _nearby(folder: Path, name: str) -> str:
    """Return a hint that names the recipes in a folder and in its folder `recipes`, the most similar one alone."""
    paths = [path for parent in (folder, folder / "recipes") for path in sorted(parent.glob("*.y*ml"))]
    close = nearest(Path(name).stem, [path.stem for path in paths])
    if close:
        return f"Did you mean {next(path for path in paths if path.stem == close)}?"
    if paths:
        return f"Recipes nearby: {', '.join(map(str, paths[:8]))}."
    return _ADVICE
