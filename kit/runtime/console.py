"""Output on the terminal: the one place where text is made printable, and where a full or closed output is noticed."""

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
    """Print text that may hold data. Raises StreamError if standard output takes no more."""
    if err:
        _write_error(f"{printable_lines(message)}\n")
    else:
        _write_output(f"{printable_lines(message)}\n")


def echo_json(value: object, indent: int | None = None) -> None:
    """Print a value as JSON, which escapes what a terminal would obey. Raises StreamError like `echo`."""
    line = json_line(value)
    if indent is not None or (getattr(sys.stdout, "encoding", "") or "").lower().replace("-", "") != "utf8":
        line = json.dumps(json.loads(line), indent=indent)
    _write_output(f"{printable_json(line)}\n")


def echo_drawn(renderable: RenderableType) -> None:
    """Print something that rich draws, as wide as the terminal; 200 columns wide where there is none."""
    terminal = console(stderr=False)
    drawing = console(width=terminal.width if terminal.is_terminal else 200, force_terminal=terminal.is_terminal)
    drawing.file = io.StringIO()
    drawing.print(renderable)
    _write_output(drawing.file.getvalue())


def finish_output() -> None:
    """Write what standard output still holds back. Raises StreamError if it takes no more."""
    _write_output("")


def drop_output() -> None:
    """Let standard output end in nothing, so that Python does not complain about it at its exit."""
    with suppress(OSError, ValueError, AttributeError):  # it is closed, or no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def console(**settings: Any) -> Console:
    """Return a rich console on standard error that shows control characters of its texts as escapes.

    settings: of `rich.console.Console`.
    """
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment

    class Printable(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(_cleaned(segment.text), segment.style)

    return Printable(**{"stderr": True, "highlight": False, "emoji": False, **settings})


def say(target: Console, line: str) -> None:
    """Print a line of progress; a standard error that takes no more must not end a run."""
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
    except (OSError, ValueError, AttributeError):  # there is nobody left to read it
        return


def _encodable(text: str, stream: IO[Any]) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
