"""Places of errors: file and line of the recipe key that an error carries."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.cli.errors import located, options_for_keys
from kit.errors import DataError, RecipeError


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text("task: translation\ndata:\n  source: x\n  languages: [en, de]\ntranslation:\n  beams: 2\n", "utf-8")
    return path


@pytest.mark.parametrize(("key", "line"), [("data.source", 3), ("translation.beams", 6), ("translation.codes", 5)])
def test_errors_have_file_and_line_of_their_key(recipe: Path, key: str, line: int) -> None:
    with pytest.raises(RecipeError) as caught, located(recipe, []):
        raise RecipeError("it is odd", "change it", key=key)
    assert str(caught.value) == f"{recipe}:{line}: {key}: it is odd\n  change it"


def test_errors_name_the_override_that_sets_their_key(recipe: Path) -> None:
    with pytest.raises(DataError) as caught, located(recipe, ["data.source=y"]):
        raise DataError("there is no file y", key="data.source")
    assert caught.value.message == "--set data.source=y: data.source: there is no file y"


def test_errors_without_a_key_or_a_recipe_have_no_place(recipe: Path) -> None:
    for path, key in ((recipe, ""), (None, "data.source")):
        with pytest.raises(DataError) as caught, located(path, []):
            raise DataError("it is odd", key=key)
        assert caught.value.message == ("data.source: it is odd" if key else "it is odd")


def test_errors_name_options_in_place_of_keys() -> None:
    with pytest.raises(DataError) as caught, options_for_keys({"data.label": "--label"}):
        raise DataError("two columns could be it", "set data.label: mood", key="data.label")
    assert str(caught.value) == "--label: two columns could be it\n  set --label mood"
