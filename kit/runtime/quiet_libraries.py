"""Hide notices of libraries: all of them in commands, a few known ones in programs that import kit."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Beginning of a message, by the logger that writes it.
_NOTICES = {
    "torchao": "Failed to load",
    "torch.utils._pytree": "%s is an Enum subclass",
    "torch.onnx._internal.exporter._registration": "torchvision is not installed",
    "bitsandbytes.backends.cpu.ops": "Failed to load CPU gemm_4bit_forward",
    "skeletoken.transformers_compat": "HuggingFace tokenizer defines",
}


class _Notice(logging.Filter):
    """Filter that drops records whose message begins with a text."""

    def __init__(self, beginning: str) -> None:
        super().__init__()
        self.beginning = beginning

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is to be logged."""
        return not str(record.msg).startswith(self.beginning)


def hide_notices() -> None:
    """Drop a few known messages, once per process; not with KIT_DEBUG.

    Each filter belongs to one logger: levels and handlers of the program that uses kit stay as they are.
    """
    if os.environ.get("KIT_DEBUG"):
        return
    for name, beginning in _NOTICES.items():
        logger = logging.getLogger(name)
        if not any(isinstance(existing, _Notice) for existing in logger.filters):
            logger.addFilter(_Notice(beginning))


def quiet_libraries() -> None:
    """Hide warnings and log messages of all libraries in this process, which runs a command of kit."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not os.environ.get("KIT_DEBUG"):
        warnings.filterwarnings("ignore")
        logging.disable(logging.WARNING)
        # A writer of TensorBoard fails in its own thread, and again in the main thread at the next event.
        threading.excepthook = lambda arguments: None


@contextmanager
def without_warnings() -> Iterator[None]:
    """Hide Python warnings and records of the root logger while a library is called."""
    root = logging.getLogger()
    handlers, everything = list(root.handlers), _Notice("")
    root.addFilter(everything)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeFilter(everything)
        root.handlers[:] = handlers  # logging.warning() adds a handler to a root logger that has none
