"""Output on the terminal, with data made printable and errors of standard output detected."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from kit.errors import StreamError
from kit.runtime.json_lines import json_line
from kit.runtime.printable import printable, printable_json, printable_lines

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def echo(message: str, err: bool = False) -> None:
    """Print text that may contain data.

    Raises StreamError if standard output cannot be written.
    """
    if err:
        _write_error(f"{printable_lines(message)}\n")
    else:
        _write_output(f"{printable_lines(message)}\n")


def echo_json(value: object, indent: int | None = None) -> None:
    """Print a value as JSON, with terminal control characters escaped.

    Raises StreamError like `echo`.
    """
    line = json_line(value)
    if indent is not None or (getattr(sys.stdout, "encoding", "") or "").lower().replace("-", "") != "utf8":
        line = json.dumps(json.loads(line), indent=indent)
    _write_output(f"{printable_json(line)}\n")


def echo_drawn(renderable: RenderableType) -> None:
    """Print a rich renderable at the width of the terminal, or 200 columns wide without a terminal."""
    terminal = console(stderr=False)
    drawing = console(width=terminal.width if terminal.is_terminal else 200, force_terminal=terminal.is_terminal)
    drawing.file = io.StringIO()
    drawing.print(renderable)
    _write_output(drawing.file.getvalue())


def finish_output() -> None:
    """Flush standard output. Raises StreamError if it cannot be written."""
    _write_output("")


def drop_output() -> None:
    """Redirect standard output to the null device, so that Python reports no error about it at exit."""
    with suppress(OSError, ValueError, AttributeError):  # closed, or without a file descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def console(**settings: Any) -> Console:
    """Return a rich console on standard error that shows control characters in texts as escapes.

    Args:
        **settings: Arguments of `rich.console.Console`.
    """
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment

    class Printable(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(_cleaned(segment.text), segment.style)

    return Printable(**{"stderr": True, "highlight": False, "emoji": False, **settings})


def say(target: Console, line: str) -> None:
    """Print a line of progress; failing to write it must not end a run."""
    try:
        target.print(printable_lines(line), markup=False, soft_wrap=True)
    except OSError:
        return


def _cleaned(text: str) -> str:
    return text if text.isprintable() else "\n".join(printable(line) for line in text.split("\n"))


def _write_output(text: str) -> None:
    if sys.stdout is None:
        if text:
            raise StreamError("cannot write to standard output: it is closed")
        return
    try:
        sys.stdout.write(_encodable(text, sys.stdout))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise StreamError(f"cannot write to standard output: {reason}", "see where it is redirected to") from error


def _write_error(text: str) -> None:
    try:
        sys.stderr.write(_encodable(text, sys.stderr))
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # standard error is closed: nobody can read the message
        return


def _encodable(text: str, stream: IO[Any]) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
