"""The generated reference: every key, technique, command, option, function and error is in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import typer
from sphinx.application import Sphinx

import kit
from kit.cli.app import app
from kit.recipe.keys import Keys, dotted
from kit.recipe.schema import Recipe
from kit.recipe.sections.compression import TECHNIQUES
from kit.recipe.sections.study import Variant
from tests.support.documentation import DOCS

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of the extensions


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sphinx]:
    """The reference without the other pages, built in memory."""
    folder = tmp_path_factory.mktemp("docs")
    only = {"include_patterns": ["reference/*"], "root_doc": "reference/recipe", "html_theme": "basic"}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.path", list(sys.path))
        sphinx = Sphinx(DOCS, DOCS, folder / "out", folder / "trees", "dummy", confoverrides=only, status=None)
        sphinx.build()
        yield sphinx


def test_every_key_is_documented(built: Sphinx) -> None:
    keys = Keys(Recipe)
    expected = {dotted(path) for path in keys.paths()}
    expected |= {
        f"{name}.{key}" for name, kind in TECHNIQUES.items() for key in kind.model_fields if key != "technique"
    }
    expected |= {f"variant.{key}" for key in Variant.model_fields}
    documented = {name for kind, name in built.env.domains.standard_domain.objects if kind == "recipe-key"}
    assert documented == expected


def test_every_key_has_a_description() -> None:
    keys = Keys(Recipe)
    fields = {dotted(path): keys.field(path) for path in keys.paths() if keys.section(path) is None}
    assert not [name for name, field in fields.items() if field is None or not field.description]


def test_every_command_and_option_is_documented(built: Sphinx) -> None:
    text = built.env.get_doctree("reference/cli").astext()
    for name, command in typer.main.get_command(app).commands.items():
        assert f"Usage: kit {name} " in text
        missing = [option for parameter in command.params for option in parameter.opts if option not in text]
        assert not missing, f"{name}: {missing}"
        assert all(getattr(parameter, "help", "") for parameter in command.params), name


def test_every_function_and_error_is_documented(built: Sphinx) -> None:
    text = built.env.get_doctree("reference/python").astext()
    documented = {name for name, *_ in built.env.domains.python_domain.get_objects()}
    assert {f"kit.{name}" for name in kit.__all__} <= documented
    assert not [kind.__name__ for kind in subclasses(kit.KitError) if kind.__name__ not in text]


def subclasses(kind: type) -> list[type]:
    """Return the subclasses of an error in its module."""
    own = [inner for inner in kind.__subclasses__() if inner.__module__ == kind.__module__]
    return [error for inner in own for error in (inner, *subclasses(inner))]
