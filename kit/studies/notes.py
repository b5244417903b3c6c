"""Notes of a study: warnings that readers need to judge its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from kit.analysis.findings import CellRow, Series
from kit.measurement.speed import SPEED_FILE
from kit.records.content import RecordedData
from kit.records.record import Record
from kit.runtime.quantities import percent
from kit.studies.grid import SEEDS as FEW_SEEDS
from kit.studies.ledger import Ledger


def study_notes(
    ledger: Ledger, cells: Sequence[CellRow], series: Sequence[Series], records: Sequence[Record]
) -> list[str]:
    """Return the warnings that readers need to judge the numbers of a study.

    Args:
        ledger: The study.
        cells: All its cells, finished or not.
        series: Its finished cells by method and checkpoint.
        records: Records of its finished cells.
    """
    return [
        *_cell_notes(cells),
        *_left_out_notes(cells),
        *(f"{line}." for line in ledger.damage),
        *_seed_notes(cells, series),
        *_same_runs(series),
        *_baseline_notes(series, records[0]),
        *_speed_notes(ledger, series),
        *_data_notes(ledger, records),
    ]


def _cell_notes(cells: Sequence[CellRow]) -> list[str]:
    """Return the numbers of failed and open cells."""
    states = {
        "failed": "failed, and are missing from the means",
        "open": "have not been run, or their Record is gone or damaged",
    }
    counts = {state: sum(row.state == state for row in cells) for state in states}
    return [f"{count} of {len(cells)} cells {states[state]}." for state, count in counts.items() if count]


def _left_out_notes(cells: Sequence[CellRow]) -> list[str]:
    """Return a note for each reason why cells were left out on purpose, with their series."""
    series: dict[str, dict[str, int]] = {}
    for row in cells:
        if row.state == "left out":
            counts = series.setdefault(row.error, {})
            counts[row.series] = counts.get(row.series, 0) + 1
    return [
        f"{sum(counts.values())} of {len(cells)} cells were left out ({', '.join(counts)}): {reason}."
        for reason, counts in series.items()
    ]


def _seed_notes(cells: Sequence[CellRow], series: Sequence[Series]) -> list[str]:
    """Return a note if seeds are few, and one about the cells that are flagged."""
    notes = []
    fewest = min(len(measured.runs) for one in series for measured in one.points)
    if fewest < FEW_SEEDS:
        few = "one seed: their intervals cover the test sample only" if fewest == 1 else f"{fewest} seeds"
        notes.append(f"Some means are of {few}; {FEW_SEEDS} or more seeds make intervals narrower and safer.")
    flagged = [f"{row.series} {row.budget} seed {row.seed}" for row in cells if row.flag]
    if flagged:
        shown = ", ".join(flagged[:6]) + (f" and {len(flagged) - 6} more" if len(flagged) > 6 else "")
        notes.append(f"Flagged as failed to train, but part of the means: {shown}.")
    return notes


def _same_runs(series: Sequence[Series]) -> list[str]:
    """Return a note for each series that has the same runs as a series before it."""
    first: dict[tuple[str, ...], str] = {}
    notes = []
    for one in series:
        runs = tuple(sorted(run.record for measured in one.points for run in measured.runs))
        if runs in first:
            why = "the gate undid its steps" if one.steps else "its keys have the values that are the default here"
            notes.append(f"{one.name} has the same runs as {first[runs]}: {why}.")
        first.setdefault(runs, one.name)
    return notes


def _baseline_notes(series: Sequence[Series], record: Record) -> list[str]:
    """Return the baselines, and the series that do not beat them with their largest budget."""
    metric, baselines = record.main_metric, record.baselines
    notes = []
    if words := baselines.words(metric):
        notes.append(f"Baselines, {metric}: {words} ({baselines.always}).")
    weak = [one.name for one in series if baselines.not_beaten(metric, one.points[-1].estimate)]
    if weak:
        notes.append(f"Not better than the {baselines.names[1]} even with their largest budget: {', '.join(weak)}.")
    return notes + [f"{note[0].upper()}{note[1:]}." for note in record.class_notes(record.shown_metrics)]


def _speed_notes(ledger: Ledger, series: Sequence[Series]) -> list[str]:
    """Return the warnings about latencies."""
    notes = []
    timed = [(one, one.speed) for one in series if one.speed is not None]
    if damage := ledger.speed_damage:
        notes.append(f"Latency is not known: {SPEED_FILE} {damage}. Start the study again: it measures all models.")
    for one, _ in timed:
        records = {run.record for measured in one.points for run in measured.runs}
        same = [other.name for other, speed in timed if speed.measured_on in records]
        if same:
            notes.append(f"Latency of {', '.join(same)}: that of {one.name}, which has the same arithmetic.")
    warnings = sorted({speed.warning for _, speed in timed if speed.warning})
    return [*notes, *(f"Latencies are doubtful: {warning}." for warning in warnings)]


def _data_notes(ledger: Ledger, records: Sequence[Record]) -> list[str]:
    """Return warnings about the data and truncated texts, without those that the notes about baselines contain."""
    balance_noted = len(records[0].shown_metrics) > 1
    warnings = ledger.content["data"]["warnings"]
    notes = [f"Data: {w}." for w in warnings if not (balance_noted and w.startswith("classes are unbalanced"))]
    for split, texts in (("test", "test texts"), ("references", "references to learn from")):
        cut = max((record.content.data.truncation.get(split, 0.0) for record in records), default=0.0)
        if cut > 0.01:
            notes.append(f"{percent(cut, 1)} of the {texts} are longer than data.max_length and are cut.")
    return notes


def data_rows(ledger: Ledger, first: RecordedData) -> list[tuple[str, str]]:
    """Return (name, value) rows about the data and their audit, from the Record of any cell."""
    data, audit = ledger.content["data"], first.audit
    rows = [
        ("data", data["description"]),
        ("training examples to buy labels from", f"{data['training_examples']:,}"),
        ("test examples", f"{data['test_examples']:,}"),
        ("dropped from train: also in test", f"{audit.leaked:,}"),
        ("dropped from train: repetitions", f"{audit.duplicates_train + audit.conflicting_train:,}"),
        ("fingerprint of train (sha256)", data["fingerprints"]["train"]),
        ("fingerprint of test (sha256)", data["fingerprints"]["test"]),
    ]
    if first.revision:
        rows.append(("revision", first.revision))
    return rows
