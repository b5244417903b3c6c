"""Headers, separators and line ends of delimited files."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import pytest

from kit.data.readers import parse_table
from kit.data.reading import Header, Reading
from kit.data.table import Table
from kit.errors import DataError

ROWS = [(f"the bike was noisy, and cold on day {i}", "neg" if i % 2 else "pos") for i in range(12)]
NAMES = ("text", "label")


def delimited(rows: Sequence[Sequence[object]], separator: str = ",", end: str = "\n") -> str:
    stream = io.StringIO()
    csv.writer(stream, delimiter=separator, lineterminator=end).writerows(rows)
    return stream.getvalue()


def read(text: str, name: str = "x.csv", **reading: object) -> Table:
    return parse_table(text.encode(), name, name[name.rindex(".") :], Reading(**reading))  # type: ignore[arg-type]


def refused(text: str, **reading: object) -> DataError:
    with pytest.raises(DataError) as caught:
        read(text, **reading)
    return caught.value


def rows_of(table: Table) -> list[tuple[object, ...]]:
    return list(zip(*table.columns.values(), strict=True))


HEADERLESS = {
    "text and label": ROWS,
    "label and text": [(label, text) for text, label in ROWS],
    "numbers": [(text, int(label == "pos")) for text, label in ROWS],
    "ids": [(place, *row) for place, row in enumerate(ROWS)],
    "no spaces": [(f"这个产品非常好用我很喜欢{i}", ("好评", "差评")[i % 2]) for i in range(12)],
    "labels that are usual names": [(text, {"pos": "review", "neg": "question"}[label]) for text, label in ROWS],
    "the first row twice": [ROWS[0], *ROWS],
    "short texts": [("pear", "fruit"), ("saw", "tool"), ("fig", "fruit"), ("pliers", "tool"), ("plum", "fruit")],
}


@pytest.mark.parametrize("rows", HEADERLESS.values(), ids=HEADERLESS)
def test_first_line_like_the_other_lines_is_an_example(rows: list[tuple[object, ...]]) -> None:
    table = read(delimited(rows))
    assert rows_of(table) == [tuple(map(str, row)) for row in rows]
    assert list(table.columns) == [f"column {place}" for place in range(1, len(rows[0]) + 1)]
    assert table.headless
    assert table.notes[0].startswith("x.csv seems to have no header: line 1 is read as an example")


HEADED = {
    "usual names": (NAMES, ROWS),
    "the name of a class": (("text", "pos"), ROWS),
    "numbers of pandas": (("0", "1"), ROWS),
    "an unnamed index": (("", *NAMES), [(place, *row) for place, row in enumerate(ROWS)]),
    "one column per label": (("comment", "toxic", "insult"), [(text, 1, 0) for text, _ in ROWS]),
    "dates": (("day of call", "outcome"), [(f"2024-01-{i + 10}", label) for i, (_, label) in enumerate(ROWS)]),
}


@pytest.mark.parametrize(("names", "rows"), HEADED.values(), ids=HEADED)
def test_clear_header_is_not_an_example(names: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    table = read(delimited([names, *rows]))
    assert list(table.columns) == [name or "column 1" for name in names]
    assert (len(table), table.headless, table.notes) == (len(rows), False, ())


DOUBTFUL = {
    "a sentence and a usual name": (("What did the customer say about it?", "Category"), ROWS),
    "short texts": (("word", "kind"), HEADERLESS["short texts"]),
    "other names": (("Kundenmeldung", "Kategorie"), ROWS),
    "one word each": (("customer_feedback", "team"), ROWS),
    "title case": (("Customer Feedback", "Assigned To"), ROWS),
    "no spaces": (("文本", "标签"), HEADERLESS["no spaces"]),
    "two rows": (("Kundenmeldung", "Kategorie"), ROWS[:2]),
    "a short text of a rare class": (("great", "shipping"), ROWS),
}


@pytest.mark.parametrize(("names", "rows"), DOUBTFUL.values(), ids=DOUBTFUL)
def test_doubtful_header_is_noted(names: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    table = read(delimited([names, *rows]))
    assert (list(table.columns), len(table)) == (list(names), len(rows))
    shown = " | ".join(names)
    assert table.notes == (
        f"x.csv: line 1 ({shown}) is read as the header (if it is an example: data.header: none)",
    )  # fmt: skip
    assert len(read(delimited([names, *rows]), header="none")) == len(rows) + 1


UNCLEAR = {
    "a rare label": [("something else entirely here", "rare"), *ROWS],
    "a rare label of a short text": [("unique thing happened", "rareclass"), *ROWS],
    "a rare label and no value": [("unique thing", "rare", "n/a"), *[(*row, "3") for row in ROWS]],
    "a rare label without spaces": [("这个产品非常好用我很喜欢", "中评"), *HEADERLESS["no spaces"]],
    "a sentence as a name": [("What did the customer say about it?", "Bereich"), *ROWS],
    "too few rows": ROWS[:2],
    "an empty text": [("", "pos"), *ROWS],
}


@pytest.mark.parametrize("rows", UNCLEAR.values(), ids=UNCLEAR)
def test_unclear_first_line_is_an_error(rows: list[tuple[str, str]]) -> None:
    error = refused(delimited(rows))
    assert error.message.startswith("x.csv: line 1 may be the header or an example (")
    assert error.hint.startswith("say which: data.header: first (it is the header), data.header: none")
    assert len(read(delimited(rows), header="none")) == len(rows)
    assert len(read(delimited(rows), header="first")) == len(rows) - 1
    names = list(name or "column 1" for name in map(str, rows[0]))
    assert list(read(delimited(rows), columns=(names[1],)).columns) == names


@pytest.mark.parametrize("header", [NAMES, ("Text ", "label")])
def test_declared_names_replace_a_missing_header(header: Header) -> None:
    assert list(read(delimited(ROWS), header=header).columns) == list(header)
    assert len(read(delimited([NAMES, *ROWS]), header=NAMES)) == len(ROWS)
    error = refused(delimited(ROWS), header=("text",))
    assert error.message == "data.header: 1 names for x.csv, which has 2 columns"


def test_declared_names_for_a_file_with_header_are_an_error() -> None:
    error = refused(delimited([NAMES, *ROWS]), header=("body", "y"))
    assert error.message == "data.header: x.csv seems to have its own header in line 1 (text | label)"
    assert error.hint.startswith("remove that line, or read its names: data.header: first")
    rare = [("unique thing happened", "rareclass"), *ROWS]
    assert len(read(delimited(rare), header=NAMES)) == len(rare)


def test_repeated_header_in_another_order_reorders_rows() -> None:
    swapped = [(label, text) for text, label in [NAMES, *ROWS]]
    table = read(delimited([NAMES, *ROWS]) + delimited(swapped) + delimited([NAMES, *ROWS[:2]]))
    assert rows_of(table) == [*ROWS, *ROWS, *ROWS[:2]]
    assert table.notes == (
        "x.csv: 1 line repeats the header and is left out (line 27)",
        "x.csv: the header is repeated in another order (line 14); the rows below it are read in that order",
    )


def test_headers_of_concatenated_files_are_left_out() -> None:
    part = delimited([NAMES, *ROWS[:6]])
    table = read("\ufeff" + part + "\ufeff" + part + "\n" + part.replace("text,label", '"Text",LABEL'))
    assert rows_of(table) == ROWS[:6] * 3
    assert table.notes == ("x.csv: 2 lines repeat the header and are left out (line 8, 16)",)
    assert table.blank == (15,)
    assert table.place(6) == "line 9"


@pytest.mark.parametrize("line", ["sep=;\r\n", '"sep=;"\n', "SEP=;;\n", "\ufeffsep=;\n"])
def test_separator_line_of_excel_sets_the_separator(line: str) -> None:
    table = read(line + delimited([NAMES, *ROWS], ";"))
    assert (list(table.columns), rows_of(table), table.place(0)) == (list(NAMES), ROWS, "line 3")
    assert rows_of(read(line + delimited(ROWS, ";"))) == ROWS


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
def test_separators_and_line_ends_are_detected(name: str, separator: str, end: str) -> None:
    table = read(delimited([NAMES, *ROWS], separator, end), name)
    assert (list(table.columns), rows_of(table)) == (list(NAMES), ROWS)
    assert rows_of(read(delimited(ROWS, separator, end), name)) == ROWS


def test_commas_in_headers_texts_and_numbers_are_not_separators() -> None:
    for text in ("one, comma in each", "with, several, commas"):
        rows = [(f"{text} {i}", f"{i % 3},5") for i in range(9)]
        table = read(delimited([("comment, customer", "score"), *rows], ";"))
        assert (list(table.columns), rows_of(table)) == (["comment, customer", "score"], rows)
    listed = [(f"text {i}", ("a;b", "b;c")[i % 2]) for i in range(8)]
    assert rows_of(read(delimited([NAMES, *listed]))) == listed


def test_unclear_separator_is_an_error() -> None:
    content = delimited([(f"text {i}", ("a;b", "b;c")[i % 2]) for i in range(8)])
    error = refused(content)
    assert error.message == "x.csv: the columns may be separated by a comma or a semicolon"
    assert error.hint == "say which: data.separator: ','"
    assert read(content, separator=",").columns["column 2"][:2] == ["a;b", "b;c"]
    assert rows_of(read(delimited([NAMES, *ROWS], "^"), separator="^")) == ROWS


def test_quotes_after_a_separator_and_a_space_enclose_fields() -> None:
    lines = ["text, label", *(f'"{text}, x", "{label}"' for text, label in ROWS)]
    assert rows_of(read("\n".join([*lines, ""]))) == [(f"{text}, x", label) for text, label in ROWS]
    assert read('text,label\na, "x\nb, y\n').columns["label"] == [' "x', " y"]


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        ("a,b,date", "put fields"),
        ("(9 rows)", "remove the line if it is not a row"),
        ('"b,2"', "quotes enclose the whole line"),
        ("text,label,date", "the line looks like the header of another file"),
        ("'a, b',c", "single"),
    ],
)
def test_error_for_row_of_another_width_names_the_cause(row: str, hint: str) -> None:
    assert refused(f"text,label\na,1\n{row}\n").hint.startswith(hint)


@pytest.mark.parametrize("content", [",,\ntext,label,\na,1,\nb,2,\n", "text,label\n-----,:---\na,1\nb,2\n"])
def test_empty_cells_and_rules_around_the_header_are_skipped(content: str) -> None:
    table = read(content)
    assert (table.columns["text"], table.columns["label"]) == (["a", "b"], ["1", "2"])


def test_comments_above_the_header_are_left_out() -> None:
    for comment in ("# exported 2024-01-01\n", "#v2, by hand\n# second line\n"):
        for mark in (",", ";"):
            table = read(comment + delimited([NAMES, *ROWS], mark))
            assert (list(table.columns), rows_of(table)) == (list(NAMES), ROWS)
            assert table.notes == ("x.csv: the comment above the header is left out",)
            assert table.place(0) == f"line {comment.count(chr(10)) + 2}"
    assert list(read(delimited([("#id", *NAMES), *[(1, *row) for row in ROWS]])).columns) == ["#id", *NAMES]
    tagged = [(f"#fun on day {i}", "neg" if i % 2 else "pos") for i in range(12)]
    assert rows_of(read(delimited(tagged))) == tagged


def test_header_of_another_file_is_noted() -> None:
    table = read(delimited([NAMES, *ROWS, ("category", "body"), *ROWS]))
    assert len(table) == 2 * len(ROWS) + 1
    assert table.notes[0].startswith(f"x.csv: line {len(ROWS) + 2} looks like the header of")


def test_declared_names_for_a_doubtful_header_are_noted() -> None:
    table = read(delimited([("great", "shipping"), *ROWS]), header=NAMES)
    assert len(table) == len(ROWS) + 1
    assert table.notes[0].startswith("x.csv: line 1 (great | shipping) may be a header and is read as an example (if")


def test_header_that_is_declared_an_example_is_noted() -> None:
    content = delimited([NAMES, *ROWS])
    note = "x.csv: line 1 (text | label) may be a header and is read as an example"
    assert read(content, header="none").notes == (f"{note} (if it is the header: data.header: first)",)
    assert read(content, header="none", for_prediction=True).notes == (note,)


def test_hint_names_a_title_above_the_header() -> None:
    assert refused("Tickets of May\na,b\nc,d\n").hint.startswith("remove a title or comment above")


def test_rows_merged_by_a_stray_quote_are_noted() -> None:
    lines = delimited([NAMES, *ROWS]).replace('"', "").split("\n")
    lines = [line.replace("noisy,", "noisy") for line in lines]
    for first, last in ((3, 4), (3, 9)):
        broken = [*lines]
        broken[first] = '"' + broken[first]
        broken[last] = broken[last].replace(",", '",')
        table = read("\n".join(broken))
        assert len(table) == len(ROWS) - (last - first)
        assert table.notes[0].startswith(f"x.csv: lines {first + 1}-{last + 1} are read as one text")
    swapped = [",".join(reversed(line.split(","))) for line in lines if line]
    swapped[3], swapped[6] = swapped[3].replace(",", ',"'), swapped[6] + '"'
    assert read("\n".join(swapped)).notes[0].startswith("x.csv: lines 4-7 are read as one text")


def test_rows_merged_in_a_single_column_are_noted() -> None:
    texts = [
        f"the {word} arrived on {day}" for word in ("lamp", "desk", "chair", "book") for day in ("Monday", "Friday")
    ]
    broken = [*texts * 2, '"' + texts[0], *texts[1:3], texts[3] + '"']
    assert read("\n".join(["text", *broken, ""])).notes[0].startswith("x.csv: lines 18-21 are read as one text")
    letter = '"Hello,\n\nthe lamp arrived on Monday\n\nRegards"'
    assert read("\n".join(["text", *texts * 2, letter, ""])).notes == ()


def test_texts_of_several_lines_are_not_merged_rows() -> None:
    texts = ["Dear team,\nthe lamp\nBerlin, Germany", "a, b\nc, d\ne, f", "1,2\n3,4", "one\ntwo, pos"]
    rows = [(text, "pos") for text in texts] + ROWS
    for order in (rows, [(label, text) for text, label in rows]):
        for end in ("\n", "\r\n"):
            names = NAMES if order is rows else NAMES[::-1]
            assert read(delimited([names, *order], end=end)).notes == ()


def test_hint_names_carriage_returns_that_end_some_lines() -> None:
    error = refused("text,label\r\na,1\nb,0\rc,1\r\n")
    assert error.message == "x.csv, line 3: 3 fields where the header has 2"
    assert error.hint.startswith("a carriage return (CR) does not end a line")
    quoted = [(f"{text}\nmore", label) for text, label in ROWS]
    assert rows_of(read(delimited([NAMES, *quoted], end="\r"))) == quoted


def test_dos_end_mark_is_not_a_row() -> None:
    assert rows_of(read(delimited([NAMES, *ROWS]) + "\x1a")) == ROWS


def test_carriage_returns_inside_cells_stay() -> None:
    assert read("text,label\na\rb,1\nc,0\n").columns == {"text": ["a\rb", "c"], "label": ["1", "0"]}
    quoted = [(f"{text}\rmore", label) for text, label in ROWS]
    assert rows_of(read(delimited([NAMES, *quoted]))) == quoted
    assert rows_of(read(delimited([NAMES, *quoted], ";", "\r"))) == quoted


def test_blank_lines_can_be_counted_as_rows() -> None:
    table = read("text\nfirst\n\nsecond\n\n")
    assert (table.columns["text"], table.blank) == (["first", "second"], (3, 5))
    whole = table.with_blank_rows()
    assert whole.columns["text"] == ["first", "", "second", ""]
    assert [whole.place(row) for row in range(4)] == ["line 2", "line 3", "line 4", "line 5"]
    assert read("text,label\na,1\n \nb,0\n\n").with_blank_rows().columns["text"] == ["a", "", "b"]


@pytest.mark.parametrize("second", ["text", "text\u200b", " text "])
def test_two_columns_of_the_same_name_are_an_error(second: str) -> None:
    assert refused(f"text,{second}\na,b\n").message == "x.csv has two columns named 'text'"
