"""Recipes that are loaded from a text, and the errors of those that are not valid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kit.errors import RecipeError
from kit.recipe import Recipe, load_recipe

Load = Callable[..., Recipe]
Fail = Callable[..., RecipeError]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a text with overrides, written as `r.yaml` into the current folder."""
    monkeypatch.chdir(tmp_path)

    def load_text(text: str | bytes, *overrides: str) -> Recipe:
        Path("r.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_recipe("r.yaml", overrides)

    return load_text


@pytest.fixture
def fail(load: Load) -> Fail:
    """Return the error of loading a text with overrides."""

    def fail_to_load(text: str | bytes, *overrides: str) -> RecipeError:
        with pytest.raises(RecipeError) as caught:
            load(text, *overrides)
        assert caught.value.exit_code == 2
        return caught.value

    return fail_to_load
