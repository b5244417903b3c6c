"""Data: from a recipe's data section to audited examples, drawn under a labelled budget."""

from kit.data.examples import Examples
from kit.data.prepare import Cleaned, Prepared, clean, prepare

__all__ = ["Cleaned", "Examples", "Prepared", "clean", "prepare"]
