"""Time and size of the report of a large study; 2,000 cells must take less than 60 s and 5 MB."""

from __future__ import annotations

import re
import time
from pathlib import Path

from kit.reporting.write import write_report
from kit.studies.analyse import analyse
from kit.studies.ledger import Ledger
from tests.support.simulated_study import simulated_study

FULL, SECONDS, LIBRARIES, MEGABYTES = 2_000, 60.0, 1.0, 5.0


def test_large_report_is_fast_and_small(studied: Path, tmp_path: Path) -> None:
    ledger = Ledger.load(studied)
    like = next(r for c, k in ledger.cells.items() if (o := ledger.outcome(c, k)) and (r := ledger.record(o)))
    folder = tmp_path / "runs" / "study-large"
    cells = simulated_study(folder, like, variants=6, checkpoints=2, budgets=4, seeds=2)
    assert cells == 96
    start = time.process_time()
    write_report(folder, analyse(folder))
    # Imports and the drawing of figures take a fifth of the time for any number of cells.
    assert time.process_time() - start < SECONDS * (0.2 + cells / FULL)
    page = (folder / "report.html").read_text("utf-8")
    assert len(page.encode()) / 1e6 < LIBRARIES + (MEGABYTES - LIBRARIES) * cells / FULL + 0.3
    pairs = 12 * 11 // 2
    assert len((folder / "comparisons.csv").read_text("utf-8").splitlines()) == pairs + 1
    assert len(re.findall(r"<tr>", page.split('id="comparisons-table-1"')[1].split("</table>")[0])) == 1 + 11
