"""Recipes as YAML: reading with overrides, writing, and errors that name file, line and key.

Knows YAML, and which line each key stands on. Knows nothing of what the keys mean.

Plain values follow YAML 1.2: `1e-4` is a number, and `no` is text (a label may well be called that).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from kit.errors import RecipeError
from kit.printable import printable
from kit.recipe.explain import Problem, explain, nearest, section_of, split_key
from kit.recipe.schema import Recipe

MAX_BYTES = 1_000_000
MAX_NODES = 10_000
_PREFIX = "tag:yaml.org,2002:"
_NEW = "kit new my.yaml --train data.csv writes a recipe for your own data."
# Where each key stands: an order to sort by, and the words for it.
_Places = dict[tuple[str, ...], tuple[int, str]]
# Leading characters that YAML gives a meaning of its own, which nobody means in `--set data.source=*.csv`.
_INDICATORS = tuple("*&%@`|>,")


class _Loader(yaml.SafeLoader):
    """SafeLoader with the plain values of the YAML 1.2 core schema; only its composer is used."""

    yaml_implicit_resolvers = {}  # noqa: RUF012


class _Dumper(yaml.SafeDumper):
    """SafeDumper that writes each text on one line, and quotes text which only `_Loader` would take for a number."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Return the node of a text, with escapes where a character may not stand in YAML or would break the line."""
        return self.represent_scalar(f"{_PREFIX}str", text, style=None if printable(text) == text else '"')


_Dumper.add_representer(str, _Dumper.represent_text)

_PLAIN = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
}
for _class in (_Loader, _Dumper):
    for _kind, (_pattern, _first) in _PLAIN.items():
        _class.add_implicit_resolver(_PREFIX + _kind, re.compile(f"(?:{_pattern})$"), list(_first))


@dataclass
class _Source:
    """One YAML text on its way to plain data.

    name: what errors call it. numbered: whether lines mean anything to the user (not in an override).
    lines: the line (from 1) of every key path.
    """

    name: str
    numbered: bool = True
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)
    nodes: int = 0

    def error(self, problem: str, mark: yaml.Mark | None = None, hint: str = "", column: bool = False) -> RecipeError:
        where = self.name
        if mark is not None and self.numbered:
            where += f":{mark.line + 1}" + (f":{mark.column + 1}" if column else "")
        return RecipeError(f"{where}: {problem}", hint)

    def parse(self, text: str) -> Any:
        """The text as plain data (dict, list, str, int, float, bool, None); raises RecipeError."""
        try:
            node = yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            problem, hint = error.problem or error.context or "cannot be read", ""
            if "'\\t'" in problem:
                hint = "Indent with spaces, not with tabs."
            elif "alias" in f"{problem} {error.context}":
                hint = "Put quotes around text that begins with *."
            raise self.error(f"not valid YAML: {problem}", error.problem_mark, hint, column=True) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position)
            mark = yaml.Mark(self.name, error.position, line, 0, None, 0)
            raise self.error(f"not valid YAML: character {error.character:#x} is not allowed", mark) from None
        except RecursionError:
            raise self.error("not valid YAML: nested too deeply") from None
        return None if node is None else self._value(node, (), ())

    def _value(self, node: yaml.Node, path: tuple[str, ...], parents: tuple[int, ...]) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self.error(f"more than {MAX_NODES} values, aliases counted each time", node.start_mark)
        if id(node) in parents:
            raise self.error("an alias that contains itself", node.start_mark)
        parents = (*parents, id(node))
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_PREFIX}map":
            return self._mapping(node, path, parents)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_PREFIX}seq":
            return [self._value(item, path, parents) for item in node.value]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        raise self._refused_tag(node)

    def _mapping(self, node: yaml.MappingNode, path: tuple[str, ...], parents: tuple[int, ...]) -> dict[str, Any]:
        content: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.error("a key must be plain text", key_node.start_mark)
            self._scalar(key_node)
            key, line = key_node.value, key_node.start_mark.line + 1
            here = (*path, key)
            if key in content:
                raise self.error(
                    f"{'.'.join(here)} is given twice, first on line {first[key]}",
                    key_node.start_mark,
                    "Keep one of them.",
                )
            first[key] = self.lines[here] = line
            content[key] = self._value(value_node, here, parents)
        return content

    def _scalar(self, node: yaml.ScalarNode) -> str | int | float | bool | None:
        text = str(node.value)
        kind = node.tag.removeprefix(_PREFIX)
        try:
            if kind == "int":
                return int(text, 16 if text.startswith("0x") else 10)
            if kind == "float":
                return float(re.sub(r"\.(inf|nan)$", r"\1", text.lower()))
            if kind == "bool":
                return {"true": True, "false": False}[text.lower()]
        except (ValueError, KeyError):
            raise self.error(f"{text!r} does not fit its tag !!{kind}", node.start_mark) from None
        if kind == "null":
            return None
        if kind == "str":
            return text
        raise self._refused_tag(node)

    def _refused_tag(self, node: yaml.Node) -> RecipeError:
        tag = node.tag.replace(_PREFIX, "!!")
        return self.error(f"the tag {tag} is not allowed", node.start_mark, "A recipe is plain data: remove the tag.")


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file, with `key=value` overrides applied, both validated together.

    overrides: such as `train.epochs=2` or `data.text=[premise, hypothesis]`; values are YAML, the last wins.
    Raises RecipeError that lists every problem: file and line (or override), key and nearest valid key.
    """
    content, places = _read_all(Path(path), overrides)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(_report(str(path), explain(error), places)) from None


def override_recipe(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """A recipe that comes from no file, with `key=value` overrides applied. Raises RecipeError like `load_recipe`."""
    content, places = recipe.model_dump(mode="json"), _Places()
    for number, override in enumerate(overrides):
        _apply(override, content, places, number)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(_report("the recipe", explain(error), places)) from None


def locate(path: str | Path, overrides: Sequence[str], key: str) -> str:
    """Where a dotted key of a recipe that was loaded stands: `my.yaml:7`, the override, or the file alone."""
    return _place(split_key(key), _read_all(Path(path), overrides)[1], str(path))[1]


def _read_all(path: Path, overrides: Sequence[str]) -> tuple[dict[str, Any], _Places]:
    """What a file and its overrides say, not yet validated, and where they say it."""
    content, places = _plain_content(_read(path), str(path))
    for number, override in enumerate(overrides):
        _apply(override, content, places, MAX_BYTES + number)
    for name, section in Recipe.model_fields.items():
        if section_of(section) and content.get(name, "absent") is None:
            content[name] = {}  # `train:` with every key under it commented out
    return content, places


def _plain_content(text: str, name: str) -> tuple[dict[str, Any], _Places]:
    """Return a recipe's YAML text as plain data, and where each key stands."""
    source = _Source(name)
    content = source.parse(text)
    if content is None:
        raise source.error("the recipe is empty", hint=_NEW)
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else "one value"
        raise source.error(f"a recipe is a mapping of keys (task: ..., data: ...), this is {kind}")
    return content, {key: (line, f"{name}:{line}") for key, line in source.lines.items()}


def recipe_to_yaml(recipe: Recipe, notes: Mapping[str, str] | None = None) -> str:
    """The recipe as YAML: what differs from the defaults, in the order of the schema.

    notes: comments by dotted key, put behind the line that the key stands on; keys not written are skipped.
    """
    content = recipe.model_dump(exclude_defaults=True)
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6)
    source = _Source("recipe")
    source.parse(text)
    lines = text.removesuffix("\n").split("\n")
    for key, note in (notes or {}).items():
        if number := source.lines.get(split_key(key)):
            lines[number - 1] += f"  {comment(note)}"
    return "\n".join(lines) + "\n"


def comment(text: str) -> str:
    """Return the text as a YAML comment: one line without characters that YAML does not allow."""
    return f"# {printable(text)}"


def recipe_from_yaml(text: str, name: str) -> Recipe:
    """Return the recipe in a YAML text. name: what errors call it. Raises RecipeError like `load_recipe`."""
    content, places = _plain_content(text, name)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(_report(name, explain(error), places)) from None


def recipe_schema() -> dict[str, Any]:
    """JSON Schema of a recipe, with descriptions and allowed values, so that editors can complete keys."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Recipe.model_json_schema(),
        "title": "kit recipe",
    }


def _read(path: Path) -> str:
    """The text of a recipe file; raises RecipeError that says which recipes there are."""
    if path.is_dir():
        raise RecipeError(f"{path} is a folder, not a recipe", _recipes_near(path, path.name))
    try:
        if path.is_fifo() and not path.is_relative_to("/dev"):  # nobody may ever write to it
            raise RecipeError(f"{path} is not a regular file", _NEW)
        if path.stat().st_size > MAX_BYTES:
            raise RecipeError(f"{path}: {path.stat().st_size / 1e6:.0f} MB is too large for a recipe", _NEW)
        content = path.read_bytes()
    except FileNotFoundError:
        raise RecipeError(f"{path} does not exist", _recipes_near(path.parent, path.name)) from None
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"{path}:{line}: not UTF-8 text (byte {content[error.start]:#04x})"
        raise RecipeError(message, "Save the file with the encoding UTF-8.") from None


def _recipes_near(folder: Path, name: str) -> str:
    """A hint that names the recipes in a folder and in its `recipes` folder, the nearest one first."""
    found = [p for place in (folder, folder / "recipes") for p in sorted(place.glob("*.y*ml"))]
    close = nearest(Path(name).stem, [p.stem for p in found])
    if close:
        return f"Did you mean {next(p for p in found if p.stem == close)}?"
    if found:
        return f"Recipes near by: {', '.join(map(str, found[:8]))}."
    return _NEW


def _apply(override: str, content: dict[str, Any], places: _Places, order: int) -> None:
    """Set one `key=value` in the content, and note it as the place of that key."""
    label = f"--set {override}"
    source = _Source(label, numbered=False)
    key, sign, text = override.partition("=")
    key, text = key.strip(), text.strip()
    if not sign or not all(key.split(".")):
        raise source.error("expected key=value", hint="For example --set train.epochs=2.")
    value = text if text.startswith(_INDICATORS) else source.parse(text)
    path = split_key(key)
    section = content
    for depth, part in enumerate(path[:-1], start=1):
        if section.get(part) is None:
            section[part] = {}
        section = section[part]
        if not isinstance(section, dict):
            whole = ".".join(path[:depth])
            raise source.error(
                f"{whole} is not a section, {path[depth]} cannot be set in it",
                hint=f"it is {section!r} there; where a section may stand, set it as a whole: {whole}={{...}}",
            )
    section[path[-1]] = value
    for inner in [place for place in places if place[: len(path)] == path]:
        del places[inner]
    places[path] = (order, label)


def _report(name: str, problems: Sequence[Problem], places: _Places) -> str:
    """All problems with their places, in the order of the file; a single one on a single line."""
    located = sorted((*_place(problem.path, places, name), problem.message) for problem in problems)
    lines = [f"{place}: {message}" for _, place, message in located]
    if len(lines) == 1:
        return lines[0]
    return "\n  ".join([f"{name}: {len(lines)} problems, nothing was run", *lines])


def _place(path: tuple[str, ...], places: _Places, name: str) -> tuple[int, str]:
    """Where a key stands: its own place, else its section's, else that of the override that made it."""
    if path in places:
        return places[path]
    below = [place for key, place in places.items() if path and key[: len(path)] == path]
    above = [path[:length] for length in range(len(path) - 1, 0, -1)]
    return min(below, default=next((places[key] for key in above if key in places), (0, name)))
