"""Headers and separators of the files of a source."""

from __future__ import annotations

from pathlib import Path

from tests.support.data_sections import ROWS, Save, load, refused, save_json

LONG = [(f"the lamp was {('noisy', 'lovely')[i % 2]} on day {i}", ("no", "yes")[i % 2]) for i in range(20)]


def save_bare(name: str, rows: list[tuple[str, str]]) -> str:
    """Write rows as CSV without a header."""
    Path(name).write_text("".join(f"{text},{label}\n" for text, label in rows), "utf-8")
    return name


def test_file_without_a_header_keeps_all_examples(save: Save) -> None:
    splits = load(source=save_bare("x.csv", LONG), test_size=4)
    assert (len(splits.train), splits.text_columns, splits.label_columns) == (16, ("column 1",), ("column 2",))
    assert splits.headless
    assert splits.notes[0].startswith("x.csv seems to have no header")
    again = load(source="x.csv", header="none", text="column 1", label="column 2", test_size=4)
    assert (again.train.texts, again.notes) == (splits.train.texts, ())
    named = load(source="x.csv", header=["opinion", "verdict"], test_size=4)
    assert (named.train.texts, named.text_columns, named.headless) == (splits.train.texts, ("opinion",), False)


def test_files_without_a_header_get_names_of_the_first_file(save: Save) -> None:
    save("part-1.csv", LONG[:10], "comment", "verdict")
    splits = load(source=["part-1.csv", save_bare("part-2.csv", LONG[10:14])], test=save_bare("test.csv", LONG[14:]))
    assert (len(splits.train), len(splits.test), splits.text_columns) == (14, 6, ("comment",))
    assert [note.split(" ")[0] for note in splits.notes] == ["part-2.csv", "test.csv"]


def test_named_columns_decide_an_unclear_header(save: Save) -> None:
    question = "What did the customer say about it?"
    save("x.csv", LONG, question, "Bereich")
    message, hint = refused(source="x.csv")
    assert message == f"data.source: x.csv: line 1 may be the header or an example ({question} | Bereich)"
    assert hint.startswith("say which: data.header: first")
    assert len(load(source="x.csv", text=question, label="Bereich", test_size=4).train) == 16


def test_header_and_separator_need_delimited_files(save: Save) -> None:
    save_json("x.jsonl", [{"text": text, "label": label} for text, label in ROWS])
    assert refused(source="x.jsonl", header="none") == (
        "data.header: only CSV and TSV files have one, and x.jsonl is neither", "drop data.header"
    )  # fmt: skip
    Path("x.csv").write_text("Meldung^Bereich\n" + "".join(f"{text}^{label}\n" for text, label in ROWS))
    assert refused(source="x.csv")[1] == "if another character separates the columns, set data.separator"
    assert load(source="x.csv", separator="^", test_size=4).text_columns == ("Meldung",)
