"""Directive `recipe-reference`: every key of a recipe, from the schema; and the role `key`, a link to a key.

    {key}`data.budget` limits the number of labels.

The page cannot differ from the code: types, defaults, bounds and descriptions are those of the schema, and the tables
of defaults are those that kit uses when it fills in a recipe.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.roles import XRefRole
from sphinx.util.docutils import SphinxDirective

import kit.recipe
from kit.recipe import defaults
from kit.recipe.keys import Keys, dotted, section_of
from kit.recipe.load import recipe_schema, validated
from kit.recipe.schema import Recipe, TaskRules
from kit.recipe.section import NOT_IN_ID, InId
from kit.recipe.sections.compression import TECHNIQUES
from kit.recipe.sections.data import TargetKind
from kit.recipe.task_registry import task_module, task_names

Schema = Mapping[str, Any]
STARTS = {
    "translator": "a translation model",
    "layers": "layers of a teacher",
    "encoder": "an encoder, with a new decoder",
    "nothing": "random weights",
}
TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
BOUNDS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "up to", "exclusiveMaximum": "below"}
TABLE = "[by method](#defaults-by-method)"
# Keys whose default is in a table of this page.
IN_TABLE = ("train.learning_rate", "train.epochs", "train.contrastive", "train.batch_size", "train.average")


def reference() -> str:
    """Return the page in Markdown: a section per section of the recipe, an entry per key, tables of defaults."""
    schema = recipe_schema()
    sections = {name: key for name, key in schema["properties"].items() if _is_section(name)}
    plain = [_entry(name, key) for name, key in schema["properties"].items() if name not in sections]
    parts = ["## Top level", *plain, _tasks()]
    for name, key in sections.items():
        parts += [f"## `{name}`", *_section(schema, name, schema["$defs"][key["$ref"].rpartition("/")[2]])]
    return "\n\n".join([*parts, _defaults()])


def _section(schema: Schema, path: str, section: Schema) -> Iterator[str]:
    """Yield the description and the keys of a section, those of the sections inside it included."""
    yield f":::{{recipe-section}} {path}\n:::\n\n{_linked(section['description'])} {_use(path)}"
    for name, key in section["properties"].items():
        inner = f"{path}.{name}"
        reference = key.get("$ref") or next((part["$ref"] for part in key.get("anyOf", []) if "$ref" in part), None)
        if reference is None:
            yield _entry(inner, key)
        else:
            yield f"### `{inner}`"
            yield from _section(schema, inner, schema["$defs"][reference.rpartition("/")[2]])
        if inner == "compress.steps":
            yield from _techniques(schema)
        if inner == "study.variants":
            yield from _variants(schema)


def _techniques(schema: Schema) -> Iterator[str]:
    """Yield the techniques of `compress.steps`, with their keys."""
    yield "### Techniques of `compress.steps`"
    for technique, kind in TECHNIQUES.items():
        section = schema["$defs"][kind.__name__]
        keys = {name: key for name, key in section["properties"].items() if name != "technique"}
        yield f"#### `{technique}`"
        yield _linked(section["description"]) + ("" if keys else " It has no keys.")
        yield from (_entry(f"{technique}.{name}", key) for name, key in keys.items())


def _variants(schema: Schema) -> Iterator[str]:
    """Yield the keys of a variant."""
    section = schema["$defs"]["Variant"]
    yield f"### Keys of an item of `study.variants`\n\n{_linked(section['description'])}"
    yield from (_entry(f"variant.{name}", key) for name, key in section["properties"].items())


def _entry(path: str, key: Schema) -> str:
    """Return the entry of a key: type and default, and its description."""
    if "default" not in key:
        default = "required"
    elif path in IN_TABLE:
        default = f"default: {TABLE}"
    elif key["default"] is None:
        default = "no default" if "by default" not in key["description"] else "default: see below"
    else:
        default = f"default: `{_value(key['default'])}`"
    idle = "; not part of the id of a run" if _marker(path) == NOT_IN_ID else ""
    return f":::{{recipe-key}} {path}\n{_type(key)}; {default}{idle}\n\n{_linked(key['description'])}\n:::"


def _type(key: Schema) -> str:
    """Return the type of a value, with its bounds, in words."""
    if "anyOf" in key:
        kinds = [_type(part) for part in key["anyOf"] if part.get("type") != "null"]
        return ", or ".join(dict.fromkeys(kinds))
    if "enum" in key or "const" in key:
        return ", ".join(f"`{_value(value)}`" for value in key.get("enum", [key.get("const")]))
    if key["type"] == "array":
        return _list(key)
    if key["type"] == "object":
        values = key["additionalProperties"]
        return "mapping of keys to values" if values is True else f"mapping of names to: {_type(values)}"
    bounds = [f"{word} {key[name]:,g}" for name, word in BOUNDS.items() if name in key]
    return " ".join([TYPES[key["type"]], ", ".join(bounds)]).rstrip()


def _list(key: Schema) -> str:
    """Return the type of a list in words."""
    if any("$ref" in part for part in key["items"].get("anyOf", [])):
        return "list of techniques"
    if "$ref" in key["items"]:
        return "list of names of methods, or of mappings with the keys below"
    low, high = key.get("minItems", 0), key.get("maxItems")
    count = "two " if low == high == 2 else "one or two " if high == 2 else "two or more " if low == 2 else ""
    kind = _type(key["items"])
    return f"list of {count}{kind.replace('whole number', 'whole numbers')}"


def _value(value: Any) -> str:
    """Return a value as YAML has it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return f"[{', '.join(item['technique'] if isinstance(item, dict) else _value(item) for item in value)}]"
    return str(value)


def _is_section(name: str) -> bool:
    return section_of(Recipe.model_fields[name]) is not None


def _marker(path: str) -> InId | None:
    """Return the marker of a key or its section; None for a key of a technique."""
    field = Keys(Recipe).field(Keys(Recipe).split(path))
    return None if field is None else InId.of(field)


def _use(path: str) -> str:
    """Return which methods and tasks use a section."""
    marker = _marker(path)
    if marker is None or marker == NOT_IN_ID:
        return ""
    tasks = [task for task in task_names() if _rules(task).family in (marker.families or ())]
    kind, names = ("task", tasks) if tasks else ("method", list(marker.methods or ()))
    listed = ", ".join(f"`{name}`" for name in names)
    return f"Used by {kind}{'s' if len(names) > 1 else ''} {listed}." if names else ""


def _rules(task: str) -> TaskRules:
    rules: TaskRules = task_module(task, "rules").RULES
    return rules


def _linked(text: str) -> str:
    """Return a description in which names of keys are links."""
    paths = {dotted(path) for path in Keys(Recipe).paths() if len(path) > 1}
    return re.sub(r"`([a-z_.]+)`", lambda match: f"{{key}}{match[0]}" if match[1] in paths else match[0], text)


def _tasks() -> str:
    """Return the table of tasks: their methods and metrics."""
    rows = ["| task | methods | metrics | default metric |", "|---|---|---|---|"]
    for task in task_names():
        rules = _rules(task)
        names = (", ".join(f"`{name}`" for name in names) for names in (rules.methods, rules.metrics))
        rows.append(f"| `{task}` | {' | '.join(names)} | `{rules.default_metric(_minimal(task, rules))}` |")
    return "\n".join(rows)


def _minimal(task: str, rules: TaskRules) -> Recipe:
    """Return a recipe with only the keys that the task requires."""
    data = {"source": "data.csv"} | ({"languages": ["en", "de"]} if rules.targets is TargetKind.REFERENCES else {})
    return validated({"task": task, "data": data, "model": {"checkpoint": "checkpoint"}})


def _defaults() -> str:
    """Return the tables of defaults that depend on the method, or on the weights that a translation starts from."""
    methods = [
        f"| `{method}` | {rate:g} | {_epochs(method)} | {defaults.CONTRASTIVE[method]:g} |"
        for method, rate in defaults.LEARNING_RATE.items()
    ]
    starts = [
        f"| {STARTS[start]} | {row['rate']:g} | {row.get('lora', '-')} | {row['batch_size']} "
        f"| {row['steps']:,} steps, {row['epochs'][0]} to {row['epochs'][1]} epochs | {row['average']} |"
        for start, row in defaults.TRANSLATION.items()
    ]
    return "\n".join(
        [
            "(defaults-by-method)=",
            "## Defaults by method",
            "",
            "Labels and numbers. Epochs follow from a number of steps, within bounds. "
            f"{{key}}`train.batch_size` is 16 on budgets up to {defaults.SMALL_BUDGET:,} labels, otherwise 32; "
            "{key}`train.average` is 1.",
            "",
            "| method | {key}`train.learning_rate` | {key}`train.epochs` | {key}`train.contrastive` |",
            "|---|---|---|---|",
            *methods,
            "",
            "On larger budgets, training takes enough epochs for "
            f"{defaults.VISITS:,} examples per class, within the same upper bound.",
            "",
            "Translation, by the weights that training starts from. For a student with random weights, the learning "
            f"rate is for token vectors of width {defaults.RATE_WIDTH}, and falls with the square root of the width.",
            "",
            "| training starts from | learning rate | with `lora` | batch size | epochs | average |",
            "|---|---|---|---|---|---|",
            *starts,
        ]
    )


def _epochs(method: str) -> str:
    if method not in defaults.EPOCHS:
        return "as many steps as the student"
    low, high = defaults.EPOCHS[method]
    return f"{defaults.STEPS[method]:,} steps, {low} to {high} epochs"


class RecipeSection(SphinxDirective):
    """Place that the role `key` links to for a section."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return an invisible target."""
        target = nodes.target("", "", ids=[f"recipe-key-{self.arguments[0]}"])
        self.env.domains.standard_domain.note_object("recipe-key", self.arguments[0], target["ids"][0], target)
        return [target]


class RecipeReference(SphinxDirective):
    """The reference of all keys."""

    def run(self) -> list[nodes.Node]:
        """Return the nodes of the page."""
        for file in (Path(__file__), *Path(str(kit.recipe.__file__)).parent.rglob("*.py")):
            self.env.note_dependency(str(file))
        return self.parse_text_to_nodes(reference(), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive and the role to Sphinx."""
    app.add_object_type("recipe-key", "key", objname="recipe key", indextemplate="pair: %s; recipe key")
    app.add_role_to_domain("std", "key", XRefRole(warn_dangling=True), override=True)
    app.add_directive("recipe-section", RecipeSection)
    app.add_directive("recipe-reference", RecipeReference)
    return {"parallel_read_safe": True}
