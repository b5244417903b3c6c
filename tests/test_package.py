"""The functions of the package: listed, documented, quiet, and each called once on a small run."""

from __future__ import annotations

import inspect
import logging
import re
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pytest

import kit
from kit import Recipe, Record
from kit.cli.app import app
from kit.errors import DataError, RecordError
from kit.runs.derived_recipes import compression_recipe

FUNCTIONS = [name for name in kit.__all__ if name not in ("KitError", "Recipe", "Record")]


def test_every_command_is_a_function_of_the_package() -> None:
    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert {"list_runs" if name == "list" else name for name in commands} == set(FUNCTIONS)
    assert set(kit.__all__) <= set(dir(kit)) and kit.__all__ == sorted(kit.__all__)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_say_what_they_take_return_and_raise(name: str) -> None:
    function = getattr(kit, name)
    assert inspect.isfunction(function) and function.__name__ == name
    text = inspect.getdoc(function) or ""
    for parameter in inspect.signature(function).parameters:
        assert re.search(rf"^    (\*\*)?{parameter}: ", text, re.MULTILINE), f"{parameter} is not documented"
    assert name == "predict" or "Returns:" in text
    assert name == "schema" or "Raises:" in text


def test_functions_stay_functions_after_their_modules_are_imported() -> None:
    for name in FUNCTIONS:
        import_module(getattr(kit, name).__module__)
        assert inspect.isfunction(getattr(kit, name))
    modules = {path.stem for path in Path(kit.__file__).parent.iterdir()}
    assert modules & set(kit.__all__) == {"finetune"}, "a module that is imported hides the function of its name"


def test_import_is_quick_and_quiet() -> None:
    program = (
        "import sys, time; start = time.process_time(); import kit; used = time.process_time() - start\n"
        "assert used < 0.1, used\n"
        "assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "import logging; assert not logging.root.handlers and not logging.root.manager.disable\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_notices_are_dropped_and_other_messages_are_not(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("torchao")
    disabled = logging.root.manager.disable  # tests of commands in this process may have raised it
    with caplog.at_level(logging.WARNING, "torchao"):
        logger.warning("Failed to load a library")
        logger.warning("something else")
    assert [record.message for record in caplog.records] == ["something else"]
    assert logger.level == logging.NOTSET and logging.root.manager.disable == disabled


def test_warnings_are_hidden_only_while_a_library_is_called() -> None:
    from kit.runtime.quiet_libraries import without_warnings

    before = list(logging.root.handlers)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with without_warnings():
            warnings.warn("inside", stacklevel=1)
            logging.warning("of the root logger")
        warnings.warn("outside", stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["outside"]
    assert logging.root.handlers == before and not logging.root.filters


def test_compress_and_list_runs(tiny_run: Path, untimed: None) -> None:
    recipe = compression_recipe(tiny_run).model_dump()
    recipe["compress"] |= {"steps": ["float16"], "gate": None}
    done = kit.compress(Recipe.model_validate(recipe), quiet=True)
    assert done.record.how == "float16 of finetune"
    assert {tiny_run.name, done.record.id} <= {record.id for record in kit.list_runs(tiny_run.parent)}
    with pytest.raises(RecordError, match="there is no folder"):
        kit.list_runs(tiny_run / "nowhere")


def test_report_and_advise(studied: Path) -> None:
    paths = kit.report(str(studied))
    assert {path.name for path in paths} >= {"report.html", "report.md", "report.csv"}
    assert kit.advise(studied).lines
    assert kit.advise(studied, max_size_mb=1e-6).choice is None
    with pytest.raises(DataError, match="not a value that accuracy can have"):
        kit.advise(studied, target=85)


def test_new_and_check(reviews: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    recipe = kit.new(str(path), str(reviews), checkpoint=str(tiny_checkpoint))
    assert Recipe.load(path) == recipe and recipe.data.source == str(reviews)
    preview = kit.check(Recipe.load(path, [f"runs={tmp_path / 'runs'}", "data.budget=40", "data.max_length=32"]))
    assert preview.run_id.startswith("finetune-tiny-bert-40-s0-") and not preview.finished
    assert kit.schema()["title"] == "kit recipe"
    assert isinstance(Record.__doc__, str)
