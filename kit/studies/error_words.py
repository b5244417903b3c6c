"""Errors of cells and of measurements in words."""

from __future__ import annotations

import socket
import traceback

from kit.errors import KitError, first_line


def error_words(error: Exception) -> str:
    """Return an error in words, and print the traceback of an unforeseen one."""
    if isinstance(error, KitError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        where = f"the Python package {package} is not installed on {socket.gethostname()}"
        return f"{where}\n  pip install {package.replace('_', '-')}"
    traceback.print_exception(error)  # goes to the worker's log
    return f"{type(error).__name__}: {first_line(error)}"
