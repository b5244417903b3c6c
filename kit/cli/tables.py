"""Tables and JSON lines for the results of commands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kit.runtime.console import echo, echo_drawn, echo_json
from kit.runtime.printable import printable

if TYPE_CHECKING:
    from kit.compression.chain import Compression
    from kit.records.record import Record
    from kit.workflows.distill import Distillation


def print_predictions(predictions: Iterable[dict[str, Any]]) -> None:
    """Print one JSON object per line."""
    for prediction in predictions:
        echo_json(prediction)


def warn(message: str) -> None:
    """Print a warning on standard error."""
    echo(f"warning: {message}", err=True)


def print_record(record: Record, as_json: bool) -> None:
    """Print a Record as a table, or as one line of JSON."""
    if as_json:
        echo_json(summary(record))
    else:
        print_table(["", ""], record.rows(), header=False)


def print_distillation(done: Distillation, as_json: bool) -> None:
    """Print the student as a table and the verdict, or everything as one line of JSON."""
    if as_json:
        records: dict[str, Any] = {
            kind: [summary(record) for record in getattr(done, kind)] for kind in ("students", "controls")
        }
        echo_json({**records, "verdict": {**asdict(done.verdict), "lines": done.verdict.lines}})
        return
    print_table(["", ""], done.record.rows(), header=False)
    for line in done.verdict.lines:
        echo(line)


def print_compression(done: Compression, as_json: bool) -> None:
    """Print a chain of compression, a line or two per step, and its last Record; or one line of JSON."""
    if as_json:
        steps = [{**summary(link.record), **link.content} for link in done.links]
        echo_json({"source": summary(done.source), "steps": steps, "record": summary(done.record)})
        return
    for line in done.lines:
        echo(line)
    echo(f"ends with {done.record.folder}")


def summary(record: Record) -> dict[str, object]:
    """Return the parts of a Record that scripts need."""
    content = record.content
    return {
        "id": record.id,
        "folder": str(record.folder),
        "method": content.method,
        "checkpoint": content.checkpoint_name,
        "budget": content.data.sizes.budget,
        "main_metric": record.main_metric,
        "metrics": {name: metric.to_dict() for name, metric in content.metrics.items()},
        **baseline_scores(record),
        "seconds": content.seconds.total,
    }


def baseline_scores(record: Record) -> dict[str, dict[str, dict[str, float]]]:
    """Return the scores of the two rules that read no text, by name and metric, for JSON."""
    baselines = record.baselines
    if not baselines.chance:
        return {}
    return {"baselines": {name: dict(values) for name, values in baselines.by_name.items()}}


def print_table(columns: list[str], rows: Sequence[Sequence[str]], header: bool = True) -> None:
    """Print a plain table at the width of the terminal, or 200 columns wide without a terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD if header else box.SIMPLE, show_header=header, pad_edge=False)
    for title in columns:
        table.add_column(Text(printable(title)))
    for row in rows:
        table.add_row(*[Text(printable(cell)) for cell in row])
    echo_drawn(table)
