"""Errors that users can act on.

Every foreseen failure is a `KitError`: one line with the problem and its place, and a hint with the remedy. The command
line prints both and exits with `exit_code`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

# Remedies for a damaged or missing model: of a run, and of an exported folder.
MAKE_AGAIN = "make the run again: `kit finetune RECIPE --force`, or `kit distill` or `kit compress` with --force"
EXPORT_AGAIN = "export the run again"


class KitError(Exception):
    """A foreseen failure.

    Args:
        problem: The problem, in one line where possible, with the file and row if the key alone does not locate it.
        hint: How to solve it; empty if there is no advice.
        key: Dotted key of the recipe that the problem is about, such as `data.label`; empty if there is none.

    Attributes:
        place: File and line of the key, or the override that sets it; filled in by the command line.
        checkpoints_are_useless: True only if a run that continues from its checkpoints fails the same way again,
            whatever is done about the machine, the disk or the launch. Such an error deletes the checkpoints; every
            other error keeps them.
    """

    exit_code = 2
    checkpoints_are_useless = False

    def __init__(self, problem: str, hint: str = "", *, key: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint
        self.key = key
        self.place = ""

    @property
    def message(self) -> str:
        """Place, key and problem in one line."""
        return ": ".join(part for part in (self.place, self.key, self.problem) if part)

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class RecipeError(KitError):
    """The recipe (or an override of it) is not valid."""


class DataError(KitError):
    """The data cannot be read or do not fit the recipe."""


class BudgetError(DataError):
    """The labelled budget cannot be drawn from the data."""


class ModelError(KitError):
    """The checkpoint cannot be used."""


class RecordError(KitError):
    """A folder is not a Record, or a damaged one."""


class OutputError(KitError):
    """Results cannot be written (no permission, no space)."""


class WriteError(OutputError):
    """Writing failed while running: the disk filled or failed, or a place takes no more files."""

    exit_code = 1


class StudyChoiceError(KitError):
    """A study has no model that meets the user's request."""


class SystemRefusalError(KitError):
    """The operating system refuses to read or write, and no other class fits better."""

    exit_code = 1


class StreamError(KitError):
    """Standard output cannot be written: it is closed, or redirected to a full disk."""

    exit_code = 1


class WorkerError(KitError):
    """A worker of a study cannot run its cells."""


class BusyError(OutputError):
    """Another process is writing the same result."""


class LaunchError(KitError):
    """The launched processes cannot run on this machine, or cannot work together."""


class TrainingError(KitError):
    """Training started and could not continue (NaN loss, out of memory)."""

    exit_code = 1


class DivergedError(TrainingError):
    """The loss or the model's outputs are not finite; repeating the same steps fails again."""

    checkpoints_are_useless = True


class VerificationError(KitError):
    """A saved model does not reproduce the predictions that it made before it was saved."""

    exit_code = 1


class ExportError(KitError):
    """A model cannot be exported: its predictions differ elsewhere, or the Hub rejects it."""

    exit_code = 1


@contextmanager
def errors_about(key: str) -> Iterator[None]:
    """Set the recipe key of errors about data and models that are raised inside."""
    try:
        yield
    except (DataError, ModelError) as error:
        error.key = key
        raise


def damage_words(error: BaseException) -> str:
    """Return the damage of a file in words, from the error that was raised while reading it."""
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing" if error.args else "a part is missing"
    if isinstance(error, (TypeError, AttributeError)):
        return "a value has another type than kit writes"
    if "ignore_mismatched_sizes" in str(error):  # transformers names its own argument
        return "its weights have other sizes than in its config.json"
    return first_line(error)


def first_line(error: BaseException) -> str:
    """Return the first line of a library's error, without the pages that may follow."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
