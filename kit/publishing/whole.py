"""Whether a Record tells all that a card says: before anything is computed for it.

Knows what Records hold. Knows nothing of how it is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kit.errors import MAKE_AGAIN, RecordError
from kit.record import Record

if TYPE_CHECKING:
    from kit.data import Prepared

_TOLD: dict[str, tuple[str, ...]] = {
    "checkpoint": ("name", "revision"),
    "data": ("sizes", "text_columns", "fingerprints", "truncation", "revision"),
    "data.sizes": ("budget", "train", "validation", "test"),
    "data.fingerprints": ("train", "validation", "test"),
    "provenance": ("kit", "commit", "python", "versions", "cpu", "cores", "gpus"),
    "settings": (),
}


def require_told(record: Record) -> None:
    """Raise RecordError if record.json lacks something, or has it in another shape."""
    missing = [path for place, names in _TOLD.items() for path in _missing(record.content, place, names)]
    if record.main_metric not in record.metrics:
        missing.append(f"metrics.{record.main_metric}")
    if not isinstance(record.content["model_bytes"], int):
        missing.append("model_bytes")
    if missing:
        raise RecordError(
            f"{record.folder} is damaged: record.json has no {', '.join(dict.fromkeys(missing))}",
            MAKE_AGAIN,
        )


def require_same(record: Record, data: Prepared) -> None:
    """Raise RecordError if record.json names other labels or texts than the data that it was made of."""
    for key, told, found in (
        ("labels", record.labels, data.labels),
        ("data.text_columns", tuple(record.content["data"]["text_columns"]), data.splits.text_columns),
    ):
        if told != found:
            raise RecordError(
                f"{record.folder} is damaged: record.json says {key} {', '.join(map(str, told))}, not "
                f"{', '.join(found)} as the data do",
                MAKE_AGAIN,
            )


def _missing(content: dict[str, Any], place: str, names: tuple[str, ...]) -> list[str]:
    found: Any = content
    for key in place.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    if place == "checkpoint" and found is None:
        return []
    return [f"{place}.{name}" for name in names if name not in found] if isinstance(found, dict) else [place]
