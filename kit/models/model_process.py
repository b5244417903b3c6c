"""A saved model in a process of its own, which measures its speed and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kit.errors import TrainingError
from kit.measurement.sample import Text
from kit.runtime.worker import READY

_TARGET = "kit.models.model_worker:serve"


@dataclass(frozen=True)
class MeasuredTexts:
    """Texts to measure one at a time (`rows`) and in batches (`many`)."""

    rows: Sequence[Text]
    many: Sequence[Text]


class ModelProcess:
    """A process that loads one model and measures it on request.

    Args:
        name: Name of the model in messages.
        folder: Folder of the model.
        texts: Texts to measure with.
        backend: `eager`, or `compile` for torch.compile.
        trusted: Allow the model to run its own code.
    """

    def __init__(
        self, name: str, folder: Path, texts: MeasuredTexts, backend: str = "eager", *, trusted: bool = False
    ) -> None:
        self.name, self.folder, self.backend = name, folder, backend
        self._context = {"folder": str(folder), "backend": backend, "trusted": trusted, **asdict(texts)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kit.runtime.worker", _TARGET],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._receive()

    def ask(self, do: str, **job: Any) -> dict[str, Any]:
        """Return the result of one measurement. Raises TrainingError if it failed."""
        assert self._process.stdin is not None
        context, self._context = self._context, {}  # the process keeps it
        try:
            self._process.stdin.write(json.dumps({"context": context, "job": {"do": do, **job}}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise TrainingError(f"the process that measures {self.name} died") from error
        result = self._receive()
        if "error" in result:
            raise TrainingError(f"{self.name} ({self.backend}) cannot be measured: {result['error']}")
        return result

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise TrainingError(f"the process that measures {self.name} died")
        content = json.loads(line)
        return {} if content == READY else content


def peak_memory(folder: Path, texts: Sequence[Text], batch: int, *, trusted: bool = False) -> int:
    """Return the peak memory in bytes of a process that loads a model and predicts texts.

    Raises TrainingError if the model cannot be loaded in a new process.
    """
    with closing(ModelProcess(folder.parent.name, folder, MeasuredTexts([], texts), trusted=trusted)) as process:
        process.ask("load")
        process.ask("rate", batch=batch)
        return int(process.ask("memory")["bytes"])
