"""Commands in processes of their own, forked from one that has imported the libraries, which takes ten seconds.

A forked process is one like any other: it has a memory and a working folder of its own, knows nothing of earlier
commands, and can be killed. But it computes on the CPU.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import IO, Any

ACCELERATE = "accelerate.commands.accelerate_cli"  # module of the command `accelerate`
QUICK_EXIT = "KIT_TESTS_QUICK_EXIT"  # variable for commands that leave nothing to clean up: it saves a second
_FDS = 3  # standard input, output and error
_READY = b"ready"
_START_S, _END_S = 240, 1_200
# Libraries that commands import late: each forked process would import them again, in one to two seconds.
# onnxruntime is not among them: it starts a thread when it is imported, for which a forked process waits at its end.
_LIBRARIES = (
    ACCELERATE, "evaluate", "onnxscript", "rich.console", "sklearn.linear_model", "typer.rich_utils",
    "torch.onnx._internal.exporter._core", "torch.utils.tensorboard",
)  # fmt: skip
# Settings with which each comparison of two models takes less than a second.
QUICK_CLOCKS = {
    "kit.measurement.speed": {"_TIMED_TEXTS": 12, "_WARM_UP": 2, "_ROUNDS": 2, "_REPEATS": 1, "_BATCHES": 1},
    "kit.models.model_process": {"peak_memory": lambda folder, texts, batch, trusted: 100_000_000},
}
_NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}  # which could not be used after a fork


class Forked:
    """A running command, as `subprocess.Popen` would give it. Output is read until its end by `communicate`."""

    def __init__(self, pid: int, forks: Forks, stdout: IO[str], stderr: IO[str]) -> None:
        self.pid, self.stdout, self.stderr = pid, stdout, stderr
        self.returncode: int | None = None
        self.peak_bytes = 0  # of memory, once it has ended
        self._forks = forks
        self._end = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """Exit code, None while it runs; of a process ended by a signal, its number with a minus."""
        return self._ended(0)

    def wait(self, timeout: float = 240) -> int:
        """Exit code, once it has ended."""
        code = self._ended(timeout)
        if code is None:
            self.send_signal(signal.SIGKILL)
            raise subprocess.TimeoutExpired("kit", timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, to this process alone."""
        signal.pidfd_send_signal(self._end, number)

    def communicate(self) -> tuple[str, str]:
        """All that is still to be read of both outputs, and wait for the end."""
        texts = {self.stdout: b"", self.stderr: b""}
        reading = [stream for stream in texts if not stream.closed]
        while reading:
            for stream in select.select(reading, [], [])[0]:
                chunk = os.read(stream.fileno(), 1 << 16)
                texts[stream] += chunk
                if not chunk:
                    reading.remove(stream)
        self.wait()
        for stream in texts:
            stream.close()
        return texts[self.stdout].decode(), texts[self.stderr].decode()

    def _ended(self, timeout: float) -> int | None:
        if self.returncode is None and select.select([self._end], [], [], timeout)[0]:
            self.returncode, self.peak_bytes = self._forks.end_of(self.pid)
            os.close(self._end)
        return self.returncode


class Forks:
    """Starts commands, by a process that all workers of pytest share; it ends with the last of them."""

    def __init__(self) -> None:
        # A name without a file, which is free again once nobody listens.
        name = f"\0kit-forks-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
        deadline = time.monotonic() + _START_S
        self._process: subprocess.Popen[bytes] | None = None
        while True:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._process = _start_unless_there(name) or self._process
            try:
                self._socket.connect(name)
                if self._socket.recv(64) == _READY:
                    return
            except (ConnectionRefusedError, ConnectionResetError):  # it is about to listen, or about to end
                if time.monotonic() > deadline:
                    raise
            self._socket.close()
            time.sleep(0.05)

    def start(self, *arguments: object, stdin: str = "", program: str = "kit.cli.app", **environment: str) -> Forked:
        """Start `kit`, the `main` of another module or another script, with these arguments, in the current folder."""
        given, output, errors = os.pipe(), os.pipe(), os.pipe()
        order = {
            "program": program,
            "arguments": [str(argument) for argument in arguments],
            "environment": {**os.environ, **environment},
            "folder": str(Path.cwd()),
        }
        socket.send_fds(self._socket, [json.dumps(order).encode()], [given[0], output[1], errors[1]])
        pid = int(self._socket.recv(64))
        for fd in (given[0], output[1], errors[1]):
            os.close(fd)
        with os.fdopen(given[1], "w", encoding="utf-8") as stream:
            stream.write(stdin)
        return Forked(pid, self, *(os.fdopen(fd, encoding="utf-8") for fd in (output[0], errors[0])))

    def end_of(self, pid: int) -> tuple[int, int]:
        """Return the exit code of a command that has ended, and the most memory that it took, in bytes."""
        self._socket.send(json.dumps({"ended": pid}).encode())
        code, kilobytes = self._socket.recv(64).split()
        return int(code), 1024 * int(kilobytes)

    def close(self) -> None:
        """No more commands are started from here; who started the process waits until the others are done."""
        self._socket.close()
        if self._process is not None:
            self._process.wait(timeout=_END_S)


def _start_unless_there(name: str) -> subprocess.Popen[bytes] | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        try:
            listener.bind(name)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return None
            raise
        listener.listen()
        command = [sys.executable, "-m", "tests.support.processes", str(listener.fileno())]
        root = str(Path(__file__).parents[2])
        return subprocess.Popen(command, pass_fds=[listener.fileno()], cwd=root)


def _serve(listener: socket.socket) -> None:
    """Do as the workers of pytest say, until none is left."""
    import kit

    os.environ.update(_NO_GPU)
    modules = [module.name for module in walk_packages(kit.__path__, "kit.") if not module.name.endswith("__main__")]
    for name in (*_LIBRARIES, *modules):
        import_module(name)
    for name, settings in QUICK_CLOCKS.items():
        for setting, value in settings.items():
            setattr(import_module(name), setting, value)
    gc.freeze()  # or the first collection in each forked process would copy all memory
    connections: list[socket.socket] = []
    while True:
        for ready in select.select([listener, *connections], [], [])[0]:
            if ready is listener:
                connections.append(listener.accept()[0])
                connections[-1].send(_READY)
            elif not _obeyed(ready, [listener, *connections]):
                connections.remove(ready)
                ready.close()
        if not connections:
            return


def _obeyed(connection: socket.socket, sockets: list[socket.socket]) -> bool:
    """Fork, or tell how a forked process ended; False once the other side is gone. sockets: none is for the forked."""
    message, fds, _, _ = socket.recv_fds(connection, 1 << 20, _FDS)
    if not message:
        return False
    order = json.loads(message)
    if "ended" in order:
        _, status, used = os.wait4(order["ended"], 0)
        connection.send(f"{os.waitstatus_to_exitcode(status)} {used.ru_maxrss}".encode())
        return True
    pid = os.fork()
    if pid == 0:
        for each in sockets:
            each.close()
        try:
            _run(order, fds)
        except SystemExit as end:
            if QUICK_EXIT in order["environment"]:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(end.code if isinstance(end.code, int) else 1)
            raise
        sys.exit()
    connection.send(str(pid).encode())
    for fd in fds:
        os.close(fd)
    return True


def _run(order: dict[str, Any], fds: list[int]) -> None:
    import torch

    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    os.environ.clear()
    os.environ.update(order["environment"], **_NO_GPU)
    os.chdir(order["folder"])
    if "OMP_NUM_THREADS" in os.environ:  # which torch has read already
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    sys.argv = [order["program"], *order["arguments"]]
    if order["program"].endswith(".py"):
        sys.path.insert(0, str(Path(order["program"]).parent))
        runpy.run_path(order["program"], run_name="__main__")
    else:
        import_module(order["program"]).main()


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
