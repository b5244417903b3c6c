"""Report of a study, as files."""

from __future__ import annotations

from pathlib import Path


def report(study: str | Path) -> list[Path]:
    """Write the findings of a study as one HTML page, Markdown, CSV files and charts in PNG.

    Args:
        study: Folder of the study, such as `runs/study-sentiment`.

    Returns:
        The written files, in the study's folder.

    Raises:
        RecordError: If the folder is not a study, or none of its cells has finished.
        OutputError: If the folder cannot be written to.
    """
    from kit.reporting.write import write_report
    from kit.studies.analyse import analyse

    return write_report(Path(study), analyse(study))
