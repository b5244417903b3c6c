"""The recipe of an answer: written for a data file, or used as it stands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from kit.errors import OutputError, RecipeError
from kit.recipe import Recipe
from kit.recipe.load import recipe_from_yaml
from kit.recipe.sections.data import TargetKind
from kit.runtime.files import write_atomically
from kit.workflows.answer_plan import AnswerPlan, plan_answer
from kit.workflows.new import DataOptions, draft_recipe

if TYPE_CHECKING:
    from kit.analysis.advice_options import Wish

_RECIPE_FILES = (".yaml", ".yml")


@dataclass(frozen=True)
class AnswerRecipe:
    """The recipe of an answer.

    Attributes:
        path: Its file.
        recipe: The recipe with its study.
        text: Text to write; empty if the file is used as it stands.
        plan: Plan of the study; None if the recipe had a study.
        assumptions: Assumptions that were made while reading the data, in sentences.
    """

    path: Path
    recipe: Recipe
    text: str = ""
    plan: AnswerPlan | None = None
    assumptions: tuple[str, ...] = ()

    def write(self) -> None:
        """Write the recipe, unless it is used as it stands."""
        if self.text:
            write_atomically(self.path, self.text)


def answer_recipe(
    file: str | Sequence[str],
    wish: Wish,
    minutes: float,
    *,
    path: Path | None = None,
    force: bool = False,
    test: str | Sequence[str] = (),
    **options: Unpack[DataOptions],
) -> AnswerRecipe:
    """Return the recipe for data files, or that of a recipe file. Nothing is written.

    An existing recipe for the same data is used as it stands. If it has no study, or with `force`, a study is planned.

    Args:
        file: Data files in any form of `data.source`, or a recipe.
        wish: Target and limits.
        minutes: Time for everything.
        path: Recipe for the data; by default the name of the first file with the ending `.yaml`, in this folder.
        force: Plan the study again, and write the recipe of data files again.
        test: Source of the test examples; split off if empty.
        **options: Options of `kit.new`.

    Raises:
        RecipeError: A recipe is not valid, or an option does not fit to it.
        OutputError: The recipe of other data is in the place.
        DataError: If the data cannot be used: columns are missing or cannot be detected.
    """
    sources = [file] if isinstance(file, str) else list(file)
    if _is_recipe(sources):
        _require_no_options(sources[0], options, test, path=path)
        return _opened(Path(sources[0]), wish, minutes, force=force)
    path = recipe_path(sources, path)
    if path.exists() and not force:
        _require_same_data(path, sources)
        _require_no_options(str(path), options, test)
        return _opened(path, wish, minutes, force=False)
    return _drafted(path, sources, wish, minutes=minutes, test=test, options=options)


def recipe_path(file: str | Sequence[str], path: Path | None) -> Path:
    """Return the place of the recipe. path: A recipe that the user named."""
    sources = [file] if isinstance(file, str) else list(file)
    return Path(sources[0]) if _is_recipe(sources) else path or Path(f"{_stem(sources[0])}.yaml")


def _is_recipe(sources: Sequence[str]) -> bool:
    return len(sources) == 1 and sources[0].endswith(_RECIPE_FILES)


def _drafted(
    path: Path, sources: Sequence[str], wish: Wish, *, minutes: float, test: str | Sequence[str], options: DataOptions
) -> AnswerRecipe:
    drafted = draft_recipe(sources, test, **options)
    _require_possible(drafted.recipe, wish, is_planned=False)
    name = shlex.quote(str(path))
    head = (
        f"Written by kit answer {' '.join(map(shlex.quote, sources))}: the same command uses this file, edited or not.",
        f"kit study {name} runs every cell of it, without a time limit.",
    )
    text = drafted.text(path, head)
    return _planned(path, text, drafted.recipe, wish=wish, minutes=minutes, assumptions=drafted.assumptions)


def _opened(path: Path, wish: Wish, minutes: float, *, force: bool) -> AnswerRecipe:
    """Return an existing recipe, with a planned study if it has none or with `force`."""
    recipe = Recipe.load(path)
    is_planned = "study" in recipe.model_fields_set and not force
    _require_possible(recipe, wish, is_planned=is_planned)
    if is_planned:
        return AnswerRecipe(path, recipe)
    return _planned(path, _without_study(path.read_text("utf-8")), recipe, wish=wish, minutes=minutes)


def _without_study(text: str) -> str:
    """Return a recipe without its section `study`."""
    return re.sub(r"^study:.*\n(?:(?:[ \t].*)?\n)*", "", f"{text.rstrip()}\n", flags=re.MULTILINE)


def _planned(
    path: Path, text: str, recipe: Recipe, *, wish: Wish, minutes: float, assumptions: tuple[str, ...] = ()
) -> AnswerRecipe:
    plan = plan_answer(recipe, wish, minutes)
    name = f"answer-{re.sub(r'[^A-Za-z0-9._-]+', '-', path.stem)}"
    text = f"{text.rstrip()}\n{plan.section(name)}"
    return AnswerRecipe(path, recipe_from_yaml(text, str(path)), text, plan=plan, assumptions=assumptions)


def _stem(source: str) -> str:
    """Return the name of a data source without its folder and ending."""
    name = re.split(r"[/\\:]", source.rstrip("/\\"))[-1]
    stem = name.removesuffix(".gz").rpartition(".")[0] or name
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "answer"


def _require_same_data(path: Path, sources: Sequence[str]) -> None:
    """Raise OutputError unless the file is a recipe for the data."""
    if path.is_dir():
        raise OutputError(f"{path} is a folder", "name another file with --recipe")
    source = Recipe.load(path).data.source
    present = [source] if isinstance(source, str) else list(source)
    if [_absolute(one) for one in present] != [_absolute(one) for one in sources]:
        raise OutputError(
            f"{path} is the recipe for {' '.join(present)}, not for {' '.join(sources)}",
            "name another recipe with --recipe, or replace this one with --force",
        )


def _absolute(source: str) -> str:
    """Return an existing path in full, and any other source as it is."""
    path = Path(source).expanduser()
    return str(path.resolve()) if path.exists() else source


def _require_no_options(
    recipe: str,
    options: DataOptions,
    test: str | Sequence[str],
    *,
    path: Path | None = None,
) -> None:
    """Raise RecipeError for options of a new recipe, which have no effect on an existing one."""
    passed = [f"--{name.replace('_', '-')}" for name, value in options.items() if value not in (None, False, "auto")]
    passed += [name for name, value in (("--test", test), ("--recipe", path)) if value]
    if passed:
        raise RecipeError(
            f"{passed[0]} has no effect: the recipe {recipe} is used as it stands",
            f"edit {recipe}, or pass the data file with --force to write its recipe again",
        )


def _require_possible(recipe: Recipe, wish: Wish, *, is_planned: bool) -> None:
    """Raise KitError for a target that the metric cannot have, or a task without a plan."""
    from kit.analysis.advice import checked_wish

    checked_wish(wish, recipe.main_metric)
    if not is_planned and recipe.rules.targets is TargetKind.REFERENCES:
        raise RecipeError(
            "kit answer plans no study for translation",
            "write the study yourself: kit new, then study.variants, kit study and kit advise",
            key="task",
        )
