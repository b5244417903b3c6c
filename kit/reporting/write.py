"""Files of the report of a study.

Altair and vl-convert are imported only when a chart is drawn.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kit.reporting.csv_markdown import cells_csv, markdown, points_csv
from kit.reporting.page import page
from kit.runtime.files import write_atomically

if TYPE_CHECKING:
    from kit.analysis.findings import Findings

__all__ = ["cells_csv", "markdown", "page", "pictures", "points_csv", "write_report"]

_SCALE = 2.0  # pixels per unit, for print and high-resolution screens


def write_report(folder: Path, findings: Findings) -> list[Path]:
    """Write report.html, report.md, report.csv (cells), points.csv (means) and charts/*.png.

    All content is computed before the first file is written. Charts of an earlier report that are no longer drawn are
    removed.

    Returns:
        Paths of the written files.

    Raises:
        OutputError: The folder is not writable.
    """
    files: dict[str, str | bytes] = {
        "report.html": page(findings),
        "report.md": markdown(findings),
        "report.csv": cells_csv(findings),
        "points.csv": points_csv(findings),
        **{f"charts/{name}.png": picture for name, picture in pictures(findings).items()},
    }
    for name, content in files.items():
        write_atomically(folder / name, content)
    for name in ("curves", "sizes", "frontier"):
        if f"charts/{name}.png" not in files:
            (folder / "charts" / f"{name}.png").unlink(missing_ok=True)
    return [folder / name for name in files]


def pictures(findings: Findings) -> dict[str, bytes]:
    """Return every chart by name, as a PNG on a white background."""
    import vl_convert

    from kit.reporting.charts import all_charts
    from kit.reporting.theme import LIGHT, vega_config

    config = vega_config(LIGHT)
    return {
        name: vl_convert.vegalite_to_png(chart.to_dict(), scale=_SCALE, config=config, allowed_base_urls=[])
        for name, chart in all_charts(findings).items()
    }
