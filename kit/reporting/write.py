"""Files of the report of a study.

Altair and vl-convert are imported only when a chart is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kit.reporting.csv_markdown import cells_csv, comparisons_csv, markdown, points_csv
from kit.reporting.page import page
from kit.runtime.files import write_atomically

if TYPE_CHECKING:
    from kit.analysis.findings import Findings
    from kit.reporting.figures.figure import Figure

__all__ = ["cells_csv", "comparisons_csv", "markdown", "page", "pictures", "points_csv", "write_report"]

_SCALE = 2.0  # pixels per unit, for print and high-resolution screens


def write_report(folder: Path, findings: Findings) -> list[Path]:
    """Write report.html, report.md, charts/*.png and three CSV files.

    The CSV files are report.csv (cells), points.csv (means) and comparisons.csv. All content is computed before the
    first file is written. Charts of an earlier report that are no longer drawn are removed.

    Returns:
        Paths of the written files.

    Raises:
        OutputError: The folder is not writable.
    """
    from kit.reporting.figures.every import all_figures

    figures = all_figures(findings)
    files: dict[str, str | bytes] = {
        "report.html": page(findings, figures),
        "report.md": markdown(findings),
        "report.csv": cells_csv(findings),
        "points.csv": points_csv(findings),
        "comparisons.csv": comparisons_csv(findings),
        **{f"charts/{name}.png": picture for name, picture in pictures(figures).items()},
    }
    for name, content in files.items():
        write_atomically(folder / name, content)
    for path in (folder / "charts").glob("*.png"):
        if f"charts/{path.name}" not in files:
            path.unlink()
    return [folder / name for name in files]


def pictures(figures: Sequence[Figure]) -> dict[str, bytes]:
    """Return every figure by name, as a PNG on a white background."""
    import vl_convert

    from kit.reporting.theme import LIGHT, vega_config

    config = vega_config(LIGHT)
    return {
        figure.name: vl_convert.vegalite_to_png(figure.picture(), scale=_SCALE, config=config, allowed_base_urls=[])
        for figure in figures
    }
