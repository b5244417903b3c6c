"""Storage in the local and the memory file system, with failures, and studies that use it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from kit import finetune
from kit.errors import OutputError, RecipeError
from kit.recipe import load_recipe
from kit.records.record import Record
from kit.runtime.file_types import RECORD_FILE
from kit.studies.record_storage import Storage
from kit.workflows.study import study
from tests.conftest import Kit
from tests.workflows.test_study import small, table


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("kit.studies.record_storage._WAITS_S", (0.0, 0.0, 0.0))
    yield
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]


@pytest.fixture(params=["file", "path", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    place = {"file": f"file://{tmp_path}/there", "path": f"{tmp_path}/there", "memory": "memory://there/runs"}
    return Storage(place[request.param])


@pytest.fixture
def record(recipe_file: Path) -> Record:
    return finetune(load_recipe(recipe_file, ["method=tfidf", "data.budget=20"]), quiet=True)


Break = Callable[[str, int], list[str]]


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Break:
    """Return a function that fails the first calls of the memory file system and returns their paths."""

    def broken(name: str, times: int) -> list[str]:
        right, tried = getattr(fsspec.filesystem("memory"), name), []

        def call(self: object, *arguments: object) -> object:
            path = str(arguments[1] if name == "put_file" else arguments[0])
            tried.append(path)
            if len(tried) <= times:
                raise OSError(f"the line went dead at {path}")
            return right(*arguments)

        monkeypatch.setattr(f"fsspec.implementations.memory.MemoryFileSystem.{name}", call)
        return tried

    return broken


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_record_survives_the_storage(storage: Storage, record: Record, tmp_path: Path) -> None:
    assert not storage.fetch(record.id, tmp_path / "back")
    storage.keep(record)
    storage.keep(record)
    assert storage.fetch(record.id, tmp_path / "back")
    assert files(tmp_path / "back" / record.id) == {
        name: content for name, content in files(record.folder).items() if not name.startswith("logs/")
    }
    (tmp_path / "back" / record.id / "predictions.parquet").write_bytes(b"damaged")
    assert storage.fetch(record.id, tmp_path / "back")
    Record.load(tmp_path / "back" / record.id)


@pytest.mark.parametrize("name", [RECORD_FILE, "predictions.parquet"])
@pytest.mark.parametrize("content", [None, b"", b'{"format": 2'])
def test_an_incomplete_record_counts_as_missing(
    record: Record, tmp_path: Path, name: str, content: bytes | None
) -> None:
    storage = Storage(f"{tmp_path}/there")
    storage.keep(record)
    file = tmp_path / "there" / record.id / name
    file.unlink() if content is None else file.write_bytes(content)
    assert not storage.fetch(record.id, tmp_path / "back")
    assert not list((tmp_path / "back").glob("*"))
    if name == RECORD_FILE:
        storage.keep(record)
        assert storage.fetch(record.id, tmp_path / "back")


def test_a_record_that_names_files_elsewhere_is_not_followed(record: Record, tmp_path: Path) -> None:
    storage = Storage(f"{tmp_path}/there")
    storage.keep(record)
    file = tmp_path / "there" / record.id / RECORD_FILE
    file.write_text(file.read_text("utf-8").replace('"predictions.parquet"', '"../../outside"'), "utf-8")
    (tmp_path / "there" / "outside").write_text("x")
    assert not storage.fetch(record.id, tmp_path / "back" / "runs")
    assert not list(tmp_path.glob("back/**/outside"))


def test_temporary_failures_are_retried(record: Record, tmp_path: Path, breaking: Break) -> None:
    tried = breaking("put_file", 3)
    storage = Storage("memory://there")
    storage.keep(record)
    assert tried[:4] == [tried[0]] * 4
    assert storage.fetch(record.id, tmp_path / "back")


def test_permanent_failures_leave_no_record(record: Record, tmp_path: Path, breaking: Break) -> None:
    tried = breaking("pipe_file", 10**6)  # record.json is written last
    storage = Storage("memory://there")
    with pytest.raises(OutputError, match=r"writing failed in 4 attempts: OSError: the line went dead"):
        storage.keep(record)
    assert tried == [f"/there/{record.id}/{RECORD_FILE}"] * 4
    assert not storage.fetch(record.id, tmp_path / "back")


def test_a_study_is_reused_from_the_storage_elsewhere(recipe_file: Path, kit: Kit, tmp_path: Path) -> None:
    grid = ["study.methods=[tfidf, distill, finetune]", "study.budgets=[20, 40]", "study.seeds=1",
            "distill.student.layers=1", "data.budget=null"]  # fmt: skip
    original = study(load_recipe(recipe_file, grid), storage="memory://there", engine="inline", quiet=True)
    assert (len(original.finished), [outcome.error for outcome in original.failed]) == (6, [])
    ids = {outcome.record for outcome in original.finished}
    # Only the cells of the grid were run: the teachers of the students are cells themselves.
    assert {path.split("/")[2] for path in fsspec.filesystem("memory").find("/there")} == ids
    assert not list(Path(recipe_file).parent.glob("runs/.*.fetched"))
    assert len(original.ledger.speeds()) == 3
    assert kit("report", original.folder).code == kit("advise", original.folder).code == 0
    again = study(
        load_recipe(recipe_file, [*grid, f"runs={tmp_path / 'elsewhere'}"]),
        storage="memory://there",
        engine="inline",
        quiet=True,
    )
    assert table(again.folder) == table(original.folder)
    copied = [path.read_bytes() for path in sorted((tmp_path / "elsewhere").glob("*/record.json"))]
    assert copied == [path.read_bytes() for path in sorted((tmp_path / "runs").glob("*/record.json"))]


def test_a_cell_whose_record_cannot_be_stored_is_repeated(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small(recipe_file, "study.methods=[tfidf]")
    memory = fsspec.implementations.memory.MemoryFileSystem
    right = memory.put_file

    def full(self: object, source: str, target: str) -> object:
        if "-40-" in target:
            raise OSError("no space is left there")
        return right(self, source, target)

    with monkeypatch.context() as patched:
        patched.setattr(memory, "put_file", full)
        left = study(recipe, storage="memory://there", engine="inline", quiet=True)
    assert [outcome.cell.budget for outcome in left.finished] == [20]
    assert [outcome.cell.budget for outcome in left.failed] == [40]
    assert "writing failed in 4 attempts: OSError: no space is left there" in left.failed[0].error
    assert len(list(Path(recipe.runs).glob("*/record.json"))) == 1
    assert len(study(recipe, storage="memory://there", engine="inline", quiet=True).finished) == 2


def test_an_incompletely_stored_record_fails_its_cell(recipe_file: Path, monkeypatch) -> None:
    monkeypatch.setattr(Storage, "keep", lambda self, record: shutil.rmtree(record.folder))
    done = study(small(recipe_file, "study.methods=[tfidf]"), storage="memory://there", engine="inline", quiet=True)
    assert all("did not arrive there completely" in outcome.error for outcome in done.failed)
    assert len(done.failed) == 2
    assert not list(done.folder.parent.glob("*/record.json"))


def test_a_storage_that_workers_cannot_access_is_bad_input(recipe_file: Path, kit: Kit) -> None:
    done = kit("study", recipe_file, "--engine", "ray", "--storage", "memory://there")
    assert done.code == 2
    assert "--storage memory://there: workers are other processes" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("url", "error", "message", "hint"),
    [
        ("memory://there", RecipeError, "workers are other processes", "--engine inline"),
        ("nowhere://there", OutputError, "Protocol not known: nowhere", "s3://bucket/folder"),
        ("s3://bucket/there", OutputError, "--storage s3://bucket/there: Install s3fs", "pip install s3fs"),
        ("/proc/there", OutputError, "writing failed in 4 attempts", "may write there"),
    ],
)
def test_an_unusable_storage_is_refused_before_any_run(recipe_file, monkeypatch, url, error, message, hint) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(error) as caught:
        study(small(recipe_file), storage=url, quiet=True)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert not (recipe_file.parent / "runs").exists()
