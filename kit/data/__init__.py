"""Data: from a recipe's data section to audited examples, drawn under a labelled budget."""

from kit.data.examples import Examples
from kit.data.prepare import Prepared, prepare

__all__ = ["Examples", "Prepared", "prepare"]
