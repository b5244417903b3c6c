"""One kit process for several commands: importing its libraries takes longer than what most commands do.

`KitShell` starts it; run as a program, this module is that process: a JSON object with arguments and variables in, one
with what the command printed and how it exited out. Its own argument names what is called: `kit.cli.app:main`.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType


@dataclass(frozen=True)
class Result:
    """What a command printed and how it exited."""

    code: int
    out: str
    err: str


class KitShell:
    """A process with an environment of its own: `shell("check", recipe, HF_TOKEN="...")`.

    main: what is called instead of the command line, with the arguments as texts.
    """

    def __init__(self, environment: dict[str, str], main: str = "kit.cli.app:main") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.kit_shell", main],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, **environment},
        )

    def __call__(self, *arguments: object, **environment: str) -> Result:
        """What a command prints and how it exits; `environment` holds for it alone."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([[str(each) for each in arguments], environment]) + "\n")
        self._process.stdin.flush()
        return Result(*json.loads(self._process.stdout.readline()))

    def __enter__(self) -> KitShell:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)


def _run(arguments: list[str]) -> tuple[int, str, str]:
    module, _, name = sys.argv[1].partition(":")
    main = getattr(import_module(module), name)
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            logging.disable(logging.NOTSET)
    return code, out.getvalue(), err.getvalue()


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print past Python is no answer
    for line in sys.stdin:
        arguments, environment = json.loads(line)
        before = dict(os.environ)
        os.environ.update(environment)
        print(json.dumps(_run(arguments)), file=answers, flush=True)
        os.environ.clear()
        os.environ.update(before)


if __name__ == "__main__":
    _serve()
