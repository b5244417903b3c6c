"""Registry of tasks: only a task's own package depends on its name."""

from __future__ import annotations

import re
from pathlib import Path

import kit

_COMPARISON = re.compile(r"""\btask"?\]? (?:==|!=|in|not in) ["({[]""")


def test_no_other_module_compares_the_name_of_a_task() -> None:
    package = Path(kit.__file__).parent
    modules = [path for path in package.rglob("*.py") if "tasks" not in path.relative_to(package).parts]
    found = [str(path) for path in modules if _COMPARISON.search(path.read_text("utf-8"))]
    assert not found
