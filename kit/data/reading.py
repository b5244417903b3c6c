"""Options for reading data files: header, separator, columns and limits on the unpacked size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from kit.recipe import DataSection

Header = Literal["auto", "first", "none"] | tuple[str, ...]

AS_TEXTS = "--format text predicts every line as it stands"
MAX_UNPACKED_BYTES = 1_000_000_000
MAX_UNPACKED_RATIO = 100  # text compresses 3 to 20 times
ALWAYS_UNPACKED_BYTES = 16_000_000  # below this size the ratio does not matter


@dataclass(frozen=True)
class Reading:
    """Options for reading one file; by default, everything is detected.

    Attributes:
        header: Header of a delimited file. `auto`: detect whether the first line is a header. `first`: the first line
            is the header. `none`: there is no header, and columns are named `column 1`, `column 2`, ... A tuple: names
            of the columns of a file without a header.
        separator: Character between the columns of a delimited file. None: detect it.
        columns: Columns that the file should have. A first line with one of these names is the header.
        known_names: Columns of an earlier file that this file continues. The first line is an example unless it has one
            of these names.
        max_bytes: Size that a compressed file may unpack to. None: `MAX_UNPACKED_BYTES`, and at most
            `MAX_UNPACKED_RATIO` times the size of the file.
        required: Keys that every JSON object must have. With one key, a file may hold strings instead of objects.
        for_prediction: Whether the rows are for prediction, so that hints must not name recipe keys.
    """

    header: Header = "auto"
    separator: str | None = None
    max_bytes: int | None = None
    columns: tuple[str, ...] = ()
    known_names: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    for_prediction: bool = False

    def unpacked_limit(self, packed_bytes: int) -> int:
        """Return the number of bytes that a compressed file of this size may unpack to."""
        if self.max_bytes is not None:
            return self.max_bytes
        return min(MAX_UNPACKED_BYTES, max(ALWAYS_UNPACKED_BYTES, MAX_UNPACKED_RATIO * packed_bytes))


DEFAULT_READING = Reading()


def reading_of(data: DataSection) -> Reading:
    """Return the options that a recipe sets for its data files."""
    header: Header = tuple(data.header) if isinstance(data.header, list) else data.header
    named = (data.text, data.label, list(data.where))
    columns = [name for names in named for name in ([names] if isinstance(names, str) else names or ())]
    return Reading(header, data.separator, data.max_bytes, columns=tuple(columns))
