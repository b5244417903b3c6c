"""Output: control characters in data are escaped, and full outputs are errors."""

from __future__ import annotations

import errno
import io
import json
import sys

import pytest

from kit.cli.errors import exit_code_of
from kit.cli.tables import print_table, warn
from kit.errors import StreamError
from kit.runtime.console import console, echo, echo_json, say
from kit.runtime.printable import printable
from kit.studies.progress import Board
from kit.training.progress import Progress

HOSTILE = "a\x1b[31mred\x9b2J\x1b]0;title\x07\r\u202egnp\u2066\nerror: forged\x7f\u2028b"
OBEYED = "\x1b\x9b\x07\r\u202e\u2066\x7f\u2028"


def assert_harmless(shown: str) -> None:
    assert not set(OBEYED) & set(shown)
    assert not any(line.startswith("error: forged") for line in shown.splitlines())
    assert "\\x1b[31mred" in shown


@pytest.mark.parametrize("err", [False, True])
def test_lines_escape_control_characters(capsys, err) -> None:
    echo(HOSTILE, err=err)
    warn(HOSTILE)
    shown = capsys.readouterr()
    assert_harmless(shown.out + shown.err)


def test_progress_and_board_escape_control_characters(capsys) -> None:
    Progress().say(HOSTILE)
    Board({}, "accuracy", quiet=False).say(HOSTILE)
    assert_harmless(capsys.readouterr().err)


def test_tables_escape_control_characters(capsys) -> None:
    print_table([HOSTILE, "[red]column"], [[HOSTILE, "[bold]cell :smile:"]])
    shown = capsys.readouterr().out
    assert_harmless(shown)
    assert "[red]column" in shown and "[bold]cell :smile:" in shown


def test_errors_keep_their_hint_below(capsys) -> None:
    def fail() -> None:
        from kit.errors import DataError

        raise DataError(f"there is no label {HOSTILE}", "name another")

    assert exit_code_of(fail) == 2
    shown = capsys.readouterr().err
    assert_harmless(shown)
    assert shown.startswith("error: there is no label a\\x1b") and shown.endswith("\n  name another\n")


def test_rich_output_is_printable_and_keeps_its_colours(monkeypatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    drawing = console()
    drawing.file = io.StringIO()
    drawing.print(f"[bold]{HOSTILE}[/bold]")
    say(drawing, HOSTILE)
    assert "\x1b[1m" in drawing.file.getvalue(), "kit's own styles stay"
    assert "\x1b[31mred" not in drawing.file.getvalue() and "\\x1b[31mred" in drawing.file.getvalue()


def test_words_of_any_script_are_printed_unchanged(capsys) -> None:
    for text in ("Grüße", "ありがとう", "می\u200cخواهم", "👩\u200d🚀 ☕️", "שלום"):
        assert printable(text) == text
    echo("two lines\n  the second")
    assert capsys.readouterr().out == "two lines\n  the second\n"


def test_json_is_valid_and_has_the_same_content(capsys) -> None:
    echo_json({HOSTILE: [HOSTILE, "Grüße 👩\u200d🚀"]})
    shown = capsys.readouterr().out
    assert not set(OBEYED) & set(shown) and "Grüße 👩\u200d🚀" in shown and shown.count("\n") == 1
    assert json.loads(shown) == {HOSTILE: [HOSTILE, "Grüße 👩\u200d🚀"]}


def test_an_ascii_output_escapes_other_characters(monkeypatch) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    echo("Grüße")
    echo_json("Grüße")
    shown = narrow.buffer.getvalue().decode()
    assert shown == 'Gr\\xfc\\xdfe\n"Gr\\u00fc\\u00dfe"\n'


class _Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_only_a_full_standard_output_is_an_error(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdout", _Full())
    monkeypatch.setattr(sys, "stderr", _Full())
    with pytest.raises(StreamError, match="cannot write to standard output: No space left"):
        echo("text")
    with pytest.raises(StreamError):
        print_table(["a"], [["b"]])
    echo("text", err=True)
    Progress().say("text")


class _Refusing(io.TextIOBase):
    """Standard output on a full disk: text is buffered, and each flush fails."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_help_into_a_full_output_names_the_output(monkeypatch, capsys) -> None:
    def print_as_libraries_do() -> None:
        sys.stdout.write("usage")
        sys.stdout.flush()

    monkeypatch.setattr(sys, "stdout", _Refusing())
    assert exit_code_of(print_as_libraries_do) == 1
    assert capsys.readouterr().err.startswith("error: cannot write to standard output: No space left on device\n")


def test_a_full_disk_elsewhere_is_not_the_output(capsys) -> None:
    def fail() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    assert exit_code_of(fail) == 1
    assert capsys.readouterr().err == "error: No space left on device\n"
