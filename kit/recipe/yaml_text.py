"""YAML text: parsed into plain data with the line of each key, and written.

Plain values follow YAML 1.2: `1e-4` is a number, and `no` is text, which may be the name of a label.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from kit.errors import RecipeError
from kit.recipe.keys import KeyPath, dotted, item_name
from kit.runtime.printable import printable

MAX_VALUES = 10_000  # a text of a few lines can expand to billions of values by aliases
_PREFIX = "tag:yaml.org,2002:"
_PLAIN = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
}


class _Loader(yaml.SafeLoader):
    """SafeLoader with the plain values of the YAML 1.2 core schema; only its composer is used."""

    yaml_implicit_resolvers = {}  # noqa: RUF012


class _Dumper(yaml.SafeDumper):
    """SafeDumper that writes each text on one line and quotes text that `_Loader` would read as a number."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Return the node of a text, with escapes for characters that YAML forbids or that would break the line."""
        return self.represent_scalar(f"{_PREFIX}str", text, style=None if printable(text) == text else '"')


_Dumper.add_representer(str, _Dumper.represent_text)
for _class in (_Loader, _Dumper):
    for _kind, (_pattern, _first) in _PLAIN.items():
        _class.add_implicit_resolver(_PREFIX + _kind, re.compile(f"(?:{_pattern})$"), list(_first))


@dataclass
class YamlParser:
    """Parser of one YAML text.

    Attributes:
        name: Name of the text in errors, such as its path.
        is_file: Whether errors name lines; False for a text on a command line.
        lines: Line, from 1, of each key path that was parsed.
    """

    name: str
    is_file: bool = True
    lines: dict[KeyPath, int] = field(default_factory=dict)
    _values: int = 0

    def error(
        self, problem: str, mark: yaml.Mark | None = None, hint: str = "", *, column: bool = False
    ) -> RecipeError:
        """Return an error that names the text, and the line of a mark."""
        place = self.name
        if mark is not None and self.is_file:
            place += f":{mark.line + 1}" + (f":{mark.column + 1}" if column else "")
        return RecipeError(f"{place}: {problem}", hint)

    def parse(self, text: str) -> Any:
        """Return a text as plain data: dict, list, str, int, float, bool or None.

        Raises:
            RecipeError: The text is not valid YAML, or has values that are not plain data.
        """
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

    def _value(self, node: yaml.Node, path: KeyPath, parents: tuple[int, ...]) -> Any:
        self._values += 1
        if self._values > MAX_VALUES:
            raise self.error(f"more than {MAX_VALUES} values (the values of an alias count each time)", node.start_mark)
        if id(node) in parents:
            raise self.error("this alias contains itself", node.start_mark)
        parents = (*parents, id(node))
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_PREFIX}map":
            return self._mapping(node, path, parents)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_PREFIX}seq":
            return [self._item(item, (*path, item_name(number)), parents) for number, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        raise self._forbidden_tag(node)

    def _item(self, node: yaml.Node, path: KeyPath, parents: tuple[int, ...]) -> Any:
        self.lines[path] = node.start_mark.line + 1
        return self._value(node, path, parents)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, parents: tuple[int, ...]) -> dict[str, Any]:
        content: dict[str, Any] = {}
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.error("a key must be plain text", key_node.start_mark)
            self._scalar(key_node)
            key, line = key_node.value, key_node.start_mark.line + 1
            key_path = (*path, key)
            if key in content:
                problem = f"{dotted(key_path)} is set twice, first on line {first_lines[key]}"
                raise self.error(problem, key_node.start_mark, "Keep one of them.")
            first_lines[key] = self.lines[key_path] = line
            content[key] = self._value(value_node, key_path, parents)
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
        raise self._forbidden_tag(node)

    def _forbidden_tag(self, node: yaml.Node) -> RecipeError:
        tag = node.tag.replace(_PREFIX, "!!")
        return self.error(f"the tag {tag} is not allowed", node.start_mark, "A recipe is plain data: remove the tag.")


def to_yaml(content: Mapping[str, Any], notes: Mapping[KeyPath, str]) -> str:
    """Return plain data as YAML, with notes as comments on the lines of their keys; other notes are dropped."""
    text = yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6)
    parser = YamlParser("recipe")
    parser.parse(text)
    lines = text.removesuffix("\n").split("\n")
    for path, note in notes.items():
        if number := parser.lines.get(path):
            lines[number - 1] += f"  {comment(note)}"
    return "\n".join(lines) + "\n"


def comment(text: str) -> str:
    """Return a text as a YAML comment: one line, without characters that YAML does not allow."""
    return f"# {printable(text)}"
