import errno
import os
import re
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from kit.errors import OutputError
from kit.runtime.files import publish, require_space, require_writable, write_atomically, writing_to
from kit.runtime.temporary import temporary_folder


def test_a_file_is_replaced_whole(tmp_path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_atomically(path, "old")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_a_failed_write_leaves_only_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "file.txt"
    write_atomically(path, "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("kit.runtime.files.os.fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.parametrize(("umask", "file", "folder"), [(0o077, 0o600, 0o700), (0o022, 0o644, 0o755), (0, 0o666, 0o777)])
def test_files_and_folders_follow_the_umask(tmp_path, umask, file, folder) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "deep" / "file.txt", "text")
        with temporary_folder("draft", tmp_path) as draft:
            (draft / "model").mkdir()
            save_file({"a": np.zeros(1)}, draft / "model" / "model.safetensors")  # for its owner alone
            publish(draft, tmp_path / "final")
    finally:
        os.umask(before)
    for path in tmp_path.rglob("*"):
        assert path.stat().st_mode & 0o777 == (folder if path.is_dir() else file), path


def test_publishing_replaces_the_old_folder(tmp_path) -> None:
    draft, final = tmp_path / ".draft", tmp_path / "final"
    for folder, text in ((final, "old"), (draft, "new")):
        folder.mkdir()
        (folder / "file").write_text(text)
    publish(draft, final)
    assert (final / "file").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["final"]


def test_write_errors_inside_messages_of_libraries_are_recognized(tmp_path) -> None:
    with pytest.raises(OutputError, match="the disk is full"), writing_to(tmp_path):
        raise RuntimeError("I/O error: No space left on device (os error 28)")
    with pytest.raises(OutputError, match="the disk is full"), writing_to(tmp_path):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 4544 vs 4438")
    with pytest.raises(OutputError, match="the file would exceed the size limit"), writing_to(tmp_path):
        raise RuntimeError("Error while serializing: I/O error: File too large (os error 27)")
    for other in ("something else", "no such thing (os error 2)"):
        with pytest.raises(RuntimeError, match=re.escape(other)), writing_to(tmp_path):
            raise RuntimeError(other)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOMEM])
def test_a_full_or_failing_disk_has_exit_code_1(tmp_path, number) -> None:
    with pytest.raises(OutputError) as caught, writing_to(tmp_path):
        raise OSError(number, os.strerror(number))
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR])
def test_a_refused_folder_is_bad_input_until_work_begins(tmp_path, number) -> None:
    for began, code in ((False, 2), (True, 1)):
        with pytest.raises(OutputError) as caught, writing_to(tmp_path, began=began):
            raise OSError(number, os.strerror(number))
        assert caught.value.exit_code == code


def test_a_full_disk_before_the_start_is_bad_input(tmp_path, monkeypatch) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("kit.runtime.files.tempfile.TemporaryFile", full)
    with pytest.raises(OutputError, match="the disk is full") as caught:
        require_space(tmp_path, 1000)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("flag", "reason"), [(os.ST_RDONLY, "the file system is read-only"), (0, "no permission to")])
def test_a_read_only_file_system_is_reported(tmp_path, monkeypatch, flag, reason) -> None:
    monkeypatch.setattr("kit.runtime.files.os.access", lambda *_: False)
    monkeypatch.setattr("kit.runtime.files.os.statvfs", lambda _: SimpleNamespace(f_flag=flag))
    with pytest.raises(OutputError, match=reason) as caught:
        require_writable(tmp_path)
    assert caught.value.exit_code == 2


def test_too_little_space_is_reported_in_advance(tmp_path) -> None:
    require_space(tmp_path, 1000)
    with pytest.raises(OutputError, match="a run needs about 1000000000000 MB"):
        require_space(tmp_path, 10**18)
