"""How a data file is to be read: its header, its separator, and how far it may unpack."""

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
    """Options for reading one file; the defaults read every form that can be recognised.

    Attributes:
        header: Header of a delimited file. `auto`: detect whether the first line is one. `first`: the first line is
            the header. `none`: there is no header, and columns are named `column 1`, `column 2`. A tuple: the names
            of the columns of a file without a header.
        separator: Character between the columns of a delimited file. None: detect it.
        columns: Columns that the file should have: a first line with one of these names is the header.
        known_names: Names of the columns of the file that this one continues: its first line is an example unless it
            has one of them.
        max_bytes: Size that a compressed file may unpack to. None: `MAX_UNPACKED_BYTES`, and no more than
            `MAX_UNPACKED_RATIO` times the size of the file.
        required: Keys that every JSON object must have. If it is one, a file may hold strings instead of objects.
        for_prediction: Whether the rows are predicted, so that advice must not name recipe keys.
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
    """Return how a recipe wants its data files to be read."""
    header: Header = tuple(data.header) if isinstance(data.header, list) else data.header
    named = (data.text, data.label, list(data.where))
    columns = [name for names in named for name in ([names] if isinstance(names, str) else names or ())]
    return Reading(header, data.separator, data.max_bytes, tuple(columns))
