"""The folder for everything that kit caches between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """Return $KIT_CACHE, otherwise kit's folder in the user's cache folder."""
    return Path(os.environ.get("KIT_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kit")
