"""Python programs in processes of their own that know nothing of kit, forked from one that has imported the libraries.

`PlainProcesses.run` takes what `subprocess.run` takes of a program: `[sys.executable, "probe.py", ...]` or
`[sys.executable, "-c", code, ...]`. Importing transformers and torch takes ten seconds, a fork none.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType

_LIBRARIES = (
    "numpy", "torch", "transformers.pipelines", "transformers.models.bert.modeling_bert", "tokenizers", "onnxruntime",
    "torchao", "bitsandbytes", "accelerate",
)  # fmt: skip


class PlainProcesses:
    """The process that is forked. One for all tests of a worker of pytest."""

    def __init__(self, modules: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.plain_processes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={
                **os.environ,
                "TRANSFORMERS_VERBOSITY": "error",
                "HF_MODULES_CACHE": str(modules),
                "CUDA_VISIBLE_DEVICES": "",  # a GPU could not be used after a fork
            },
        )

    def run(self, command: Sequence[str], *, cwd: str | Path, **_: object) -> subprocess.CompletedProcess[str]:
        """How a program ended, and what it printed."""
        assert self._process.stdin is not None and self._process.stdout is not None
        assert command[0] == sys.executable
        self._process.stdin.write(json.dumps([list(command[1:]), str(cwd)]) + "\n")
        self._process.stdin.flush()
        code, out, err = json.loads(self._process.stdout.readline())
        return subprocess.CompletedProcess(command, code, out, err)

    def __enter__(self) -> PlainProcesses:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    for name in _LIBRARIES:
        import_module(name)
    assert "kit" not in sys.modules
    gc.freeze()
    for line in sys.stdin:
        arguments, folder = json.loads(line)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            pid = os.fork()
            if pid == 0:
                _become(arguments, folder, out.fileno(), err.fileno())
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            texts = []
            for stream in (out, err):
                stream.seek(0)
                texts.append(stream.read().decode())
        print(json.dumps([code, *texts]), file=answers, flush=True)


def _become(arguments: list[str], folder: str, out: int, err: int) -> None:
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.chdir(folder)
    code = 0
    try:
        if arguments[0] == "-c":
            sys.argv = ["-c", *arguments[2:]]
            exec(arguments[1], {"__name__": "__main__"})
        else:
            sys.argv = arguments
            runpy.run_path(arguments[0], run_name="__main__")
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
