"""Errors and exit codes of commands."""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from kit.errors import KitError, OutputError, StreamError, SystemRefusalError, TrainingError
from kit.runtime.console import drop_output, echo, finish_output
from kit.runtime.distributed import is_first_failure, lost_process
from kit.runtime.signals import Stopped, stoppable


def exit_code_of(command: Callable[[], object]) -> int:
    """Run a command, print its error if there is one, and return the exit code.

    Returns:
        0 ok, 1 failure while running, 2 bad input, 130 Ctrl-C, 143 SIGTERM.
    """
    try:
        with stoppable():
            _require_current_folder()
            return _ended(command)
    except Stopped as stop:
        _print_error(str(stop))
        return stop.exit_code
    except BrokenPipeError:  # `kit predict ... | head` is not a failure
        drop_output()
        return 0
    except Exception as error:
        known = error if isinstance(error, KitError) else _refused_output(error) or _foreseen(error)
        if isinstance(known, StreamError):
            drop_output()
        _print_error(
            str(known) if known is not None else f"{_name(error)}\n  unexpected; `--debug` prints the traceback"
        )
        return 1 if known is None else known.exit_code


def _ended(command: Callable[[], object]) -> int:
    """Return a command's exit code.

    Raises StreamError or BrokenPipeError if its output cannot be written in full.
    """
    code = 0
    try:
        command()
    except SystemExit as end:  # typer's exit; code 1 if the reader of the output closed it
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finish_output()
    return code


def _require_current_folder() -> None:
    try:
        Path.cwd()
    except OSError as error:
        raise OutputError("the current folder was deleted", "change to another folder") from error


def _refused_output(error: Exception) -> StreamError | None:
    """Return the error of a standard output that cannot be written, if it caused a library's error."""
    if not isinstance(error, OSError) or error.filename is not None:
        return None
    try:
        finish_output()  # the unwritten output is still in the buffer
    except StreamError as refusal:
        return refusal
    except BrokenPipeError:
        return None
    return None


def _foreseen(error: Exception) -> KitError | None:
    """Return the KitError for a known error of Python or a library: errors of the system, lost processes."""
    lost = lost_process(error)
    if lost is not None:
        return lost
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return TrainingError("memory ran out", "end other programs, or use a smaller model or fewer texts at once")
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        refusal = SystemRefusalError(f"{where}{error.strerror}")
        if error.errno == errno.ENAMETOOLONG:
            refusal.exit_code, refusal.hint = 2, "use a shorter name"
        return refusal
    return None


def _name(error: Exception) -> str:
    line = str(error).strip().splitlines()
    return f"{type(error).__name__}: {line[0] if line else ''}"


def _print_error(message: str) -> None:
    if os.environ.get("KIT_DEBUG"):
        echo(traceback.format_exc(), err=True)
    if is_first_failure():
        echo(f"error: {message}", err=True)


@contextmanager
def located(recipe: Path | None, overrides: Sequence[str] | None) -> Iterator[None]:
    """Add the place of its key, a file and line or a --set, to an error.

    Args:
        recipe: File of the recipe; None if the recipe is not from a file.
        overrides: Values of `--set`.
    """
    try:
        yield
    except KitError as error:
        if error.key and recipe is not None:
            from kit.recipe.load import locate

            error.place = locate(recipe, overrides or (), error.key)
        raise


@contextmanager
def options_for_keys(options: Mapping[str, str]) -> Iterator[None]:
    """Replace recipe keys in errors by options of a command, for users who have no recipe yet."""
    try:
        yield
    except KitError as error:
        from kit.recipe.setting import with_options

        error.key = options.get(error.key, error.key)
        error.problem, error.hint = (with_options(text, options) for text in (error.problem, error.hint))
        raise
