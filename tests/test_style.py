"""Style of the code that can be counted: docstrings, names of variables, length of files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

KIT = Path(__file__).parents[1] / "kit"
FILES = sorted(KIT.rglob("*.py"))
MAX_LINES = 320
MAX_SUMMARY = 88  # characters of the first line of a docstring
LONG_SUMMARIES = 870  # of 2,700; lower it whenever there are fewer
MAX_POSITIONAL = 3  # arguments in a call of a function of kit
PRESENCE_ASSERTS = 19
POSITIONAL_CALLS = 215  # with more positional arguments; lower it whenever there are fewer
MAX_FUNCTION_LINES = 50  # without the docstring, and without the signature of a command
MAX_PARAMETERS = 7
# Functions of the public API, whose options are keyword-only, and one that replaces a function of torch.
MANY_PARAMETERS = {"answer", "new", "export", "study", "run_in_rounds", "_plain_attention"}
MIN_SHARE = 0.85  # of docstrings of functions that begin with a verb
QUESTIONS = re.compile(r"(What|Whether|How|Where|Which|Who|Why|That which|Those)\b")
NO_VERBS = re.compile(
    r"(A|An|The|One|Of|As|For|If|None|Nothing|No|Not|All|Each|Every|Both|These|This|It|There|By|In|On|With|Without|Under"
    r"|See|Half|Several|Halfway|Raises|Returns|Yields|Called|Made|Trained|Beside|Around)\b|[^A-Z]"
)
VAGUE = {"found", "told", "each", "given", "seen", "made"}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    """Yield each function with a docstring, except properties, whose docstrings are noun phrases."""
    for path in FILES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (text := ast.get_docstring(node)):
                decorators = {getattr(one, "id", getattr(one, "attr", "")) for one in node.decorator_list}
                if not decorators & {"property", "cached_property"}:
                    yield path, node, text


def place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(KIT.parent)}:{getattr(node, 'lineno', 1)}"


def test_tests_read_nothing_outside_the_repository() -> None:
    """A clone has no neighbours: data for tests are in the repository or in installed packages."""
    tests = KIT.parent / "tests"
    above = re.compile(r"REPOSITORY\.parent\b|parents\[(\d+)\]")
    for path in sorted(tests.rglob("*.py")):
        depth = len(path.relative_to(KIT.parent).parts) - 1
        for match in above.finditer(path.read_text("utf-8")):
            assert match[1] is not None and int(match[1]) <= depth, f"{path}: {match[0]} is outside the repository"


def test_docstrings_of_functions_begin_with_a_verb() -> None:
    texts = [(place(path, node), text.splitlines()[0]) for path, node, text in functions()]
    others = [f"{where}: {line}" for where, line in texts if NO_VERBS.match(line)]
    assert len(others) <= (1 - MIN_SHARE) * len(texts), "\n".join(others)


def test_no_docstring_begins_with_a_question_word() -> None:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    nodes = [(path, node) for path in FILES for node in ast.walk(parsed(path)) if isinstance(node, kinds)]
    found = [
        f"{place(p, n)}: {text.splitlines()[0]}"
        for p, n in nodes
        if QUESTIONS.match(text := ast.get_docstring(n) or "")
    ]
    assert not found, "\n".join(found)


def test_modules_do_not_say_what_they_know() -> None:
    docs = {path: ast.get_docstring(parsed(path)) or "" for path in FILES}
    assert not [str(path) for path, text in docs.items() if re.search(r"\bKnows\b", text)]
    assert not [str(path) for path, text in docs.items() if not text]


def test_variables_are_named_after_what_they_hold() -> None:
    vague = [
        f"{place(path, node)}: {node.id}"
        for path in FILES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in VAGUE
    ]
    assert not vague, "\n".join(vague)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(KIT)))
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MAX_LINES


def test_errors_carry_their_recipe_key_as_a_field() -> None:
    sections = "data|model|train|lora|probe|tfidf|distill|compress|study|translation"
    key = re.compile(rf"(task|method|metric|runs|({sections})\.\w+(\.\w+)*): ")
    in_message = []
    for path in FILES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and node.args and ast.unparse(node.func).endswith(("Error", "__init__")):
                message = node.args[0]
                parts = message.values if isinstance(message, ast.JoinedStr) else [message]
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in parts)
                if key.match(text):
                    in_message.append(f"{place(path, node)}: {text}")
    assert not in_message, "\n".join(in_message)


def all_functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in FILES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def is_command(path: Path) -> bool:
    return path.parent.name == "cli"


def lines_of(path: Path, node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the number of lines of a function without its docstring."""
    docstring = node.body[0] if ast.get_docstring(node) else None
    first = node.body[0].lineno if is_command(path) else node.lineno
    last = node.end_lineno or first
    return last - first + 1 - (0 if docstring is None else (docstring.end_lineno or 0) - docstring.lineno + 1)


def test_functions_are_short() -> None:
    long = [
        f"{place(path, node)}: {node.name}"
        for path, node in all_functions()
        if lines_of(path, node) > MAX_FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


def test_functions_have_few_parameters() -> None:
    many = [
        f"{place(path, node)}: {node.name}"
        for path, node in all_functions()
        if not is_command(path) and node.name not in MANY_PARAMETERS
        if len({a.arg for a in (*node.args.args, *node.args.kwonlyargs)} - {"self", "cls"}) > MAX_PARAMETERS
    ]
    assert not many, "\n".join(many)


def test_first_lines_of_docstrings_are_short() -> None:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    nodes = [node for path in FILES for node in ast.walk(parsed(path)) if isinstance(node, kinds)]
    firsts = [text.splitlines()[0] for node in nodes if (text := ast.get_docstring(node))]
    assert sum(len(first) > MAX_SUMMARY for first in firsts) <= LONG_SUMMARIES


def test_calls_name_their_arguments() -> None:
    trees = [parsed(path) for path in FILES]
    kit_names = {node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    own = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in kit_names]
    assert sum(len(call.args) > MAX_POSITIONAL for call in own) <= POSITIONAL_CALLS


def test_types_replace_assertions_that_a_value_is_there() -> None:
    asserts = [node for path in FILES for node in ast.walk(parsed(path)) if is_presence(node)]
    assert len(asserts) <= PRESENCE_ASSERTS


def is_presence(node: ast.AST) -> bool:
    """Return True for `assert value is not None`."""
    return isinstance(node, ast.Assert) and "is not None" in ast.unparse(node.test)
