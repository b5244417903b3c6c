"""Formats: the files of an exported model, and how they are loaded without kit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit.errors import ModelError, RecipeError
from kit.models.checkpoints.config_file import CONFIG_FILE, read_config
from kit.models.checkpoints.origin import without_local_keys
from kit.models.checkpoints.tokenizers import TARGET
from kit.models.kinds import KINDS, STORED, SavedKind, form_of, kind_in, kind_of
from kit.models.kinds.form import Form
from kit.models.kinds.own_code import own_code
from kit.records.record import Record
from kit.runtime.file_types import MODEL_FOLDER
from kit.runtime.json_files import read_object
from kit.runtime.names import regular_files

ADAPTER = "adapter"
GRAPH = "onnx"


@dataclass(frozen=True)
class Format:
    """A format of an exported model.

    Attributes:
        name: Name for `--format`.
        step: Compression technique that produces it from a PyTorch model; None for the run's own files.
        loader: Name of the kind of saved model, and of its loader in `standalone_check`.
        arguments: Arguments of the loader, except the folder.
    """

    name: str
    step: str | None
    loader: str
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> SavedKind:
        """Kind of the exported model."""
        return KINDS[self.loader]


def plan_formats(record: Record, names: list[str], with_code: bool = False) -> list[Format]:
    """Return the formats to export, checked before anything is computed.

    Args:
        record: Run to export.
        names: Names of formats. Empty for the run's own format, or for ONNX where that would need remote code.
        with_code: Whether to add the Python module that transformers needs for an architecture of kit.

    Raises:
        RecipeError: A name is not a format of this run.
        ModelError: The run cannot be exported in a format, or that format cannot be loaded without kit.
    """
    from kit.compression import TECHNIQUES
    from kit.compression.base import require_form
    from kit.recipe.sections.compression import CompressSection

    form, own = form_of(record.model_folder, record.backend), _own_format(record)
    planned = []
    graph_instead = _needs_code(own) and not with_code and form in TECHNIQUES[GRAPH].takes
    for name in dict.fromkeys(names or [GRAPH if graph_instead else own.name]):
        if name == own.name:
            planned.append(own)
        elif name == ADAPTER:
            planned.append(_adapter(record))
        elif name in _stored_by_techniques():
            technique = TECHNIQUES[name]
            require_form(name, form, technique.takes, record.id)
            technique.require(CompressSection.model_validate({"steps": [name]}).steps[0], record)
            planned.append(_format(name, name, kind_of(technique.gives, own.kind.translates), technique.gives, record))
        else:
            known = [
                own.name,
                *([ADAPTER] if (record.model_folder / ADAPTER).is_dir() else []),
                *_stored_by_techniques(),
            ]
            raise RecipeError(f"--format: kit cannot export {record.id} as {name}", f"available: {', '.join(known)}")
    if not with_code:
        _require_plain(planned, record, form in TECHNIQUES[GRAPH].takes)
    return planned


def _require_plain(formats: list[Format], record: Record, has_graph: bool) -> None:
    """Raise ModelError if a format needs remote code: users of a model should not have to trust code."""
    for planned in filter(_needs_code, formats):
        source = record.content.compressed_from
        graph = f"--format {GRAPH} needs no code" if has_graph else f"{source} with --format {GRAPH} needs no code"
        raise ModelError(
            f"--format {planned.name}: transformers alone cannot load the architecture of {record.id}, it needs a file "
            "of code",
            f"--with-code adds that file, and loading then needs trust_remote_code=True; {graph}; a model that "
            "is trained with model.pooling native needs no code either",
        )


def _needs_code(planned: Format) -> bool:
    return bool(planned.arguments.get("trust_remote_code"))


def write_format(planned: Format, record: Record, folder: Path) -> None:
    """Copy the model of a Record to a folder, without keys that are specific to this machine.

    Args:
        planned: Format of the Record's files.
        record: Record whose files are copied.
        folder: Folder to write, created if it does not exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in _files_of(planned, record).items():
        place = folder / name
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, place)
    if planned.name == ADAPTER:
        checkpoint = record.content.checkpoint
        keys = checkpoint and {"base_model_name_or_path": checkpoint.name, "revision": checkpoint.revision}
        _edit(folder / "adapter_config.json", lambda config: config | (keys or {}))
        return
    for path in folder.rglob("*.json"):
        if path.name in (CONFIG_FILE, "tokenizer_config.json"):
            _edit(path, without_local_keys)
    code = planned.kind.code(folder)
    if code is not None:
        model_type = read_config(folder).model_type
        shutil.copyfile(code.file, folder / f"modeling_{model_type}.py")
        classes = {"AutoConfig": code.config_class, "AutoModelForSequenceClassification": code.model_class}
        places = {auto: f"modeling_{model_type}.{name}" for auto, name in classes.items()}
        _edit(folder / CONFIG_FILE, lambda content: content | {"auto_map": places})


def _files_of(planned: Format, record: Record) -> dict[str, Path]:
    """Return the files of a format by their path in the exported folder; only files listed in record.json, no links.

    An adapter includes the tokenizer of its model; a merged model does not include its adapter.
    """
    prefix = f"{MODEL_FOLDER}/"
    listed = [name.removeprefix(prefix) for name in record.content.files if name.startswith(prefix)]
    adapter = {name.removeprefix(f"{ADAPTER}/"): name for name in listed if name.startswith(f"{ADAPTER}/")}
    own = {name: name for name in listed if "/" not in name or name.startswith(f"{TARGET}/")}
    if planned.name == ADAPTER:
        own = {**adapter, **{name: name for name in own if "/" not in name and "token" in name}}
    files = regular_files(record.folder, only=(MODEL_FOLDER,))
    # write_format writes the code again; the card that peft writes contains local paths.
    return {name: files[prefix + place] for name, place in own.items() if Path(name).suffix not in (".py", ".md")}


def _own_format(record: Record) -> Format:
    """Return the format of the files of a Record."""
    folder, source = record.model_folder, record.content.compressed_from
    kind = kind_in(folder, record.backend)
    return _format(kind.format_name(folder, record.id, source), None, kind, kind.form(folder), record)


def _format(name: str, step: str | None, kind: SavedKind, form: Form, record: Record) -> Format:
    return Format(name, step, kind.name, kind.arguments(record.model_folder, form))


def _adapter(record: Record) -> Format:
    if record.recipe.rules.writes_text:
        raise ModelError(
            f"--format adapter: {record.id} is a translation model, whose adapter is not kept",
            "--format safetensors exports the merged weights",
        )
    if not (record.model_folder / ADAPTER).is_dir():
        raise ModelError(
            f"--format adapter: {record.id} has no adapter", "train with method lora, or leave --format out"
        )
    if own_code(record.model_folder) is not None:
        raise ModelError(
            f"--format adapter: {record.id} uses a pooling that transformers has no class for",
            "--format onnx exports the merged weights; or train with model.pooling native",
        )
    checkpoint = record.content.checkpoint
    if checkpoint is None or checkpoint.revision is None:
        raise ModelError(
            f"--format adapter: its base checkpoint {record.content.checkpoint_name} is not on the Hub",
            "--format safetensors exports the merged weights",
        )
    return Format(ADAPTER, None, "peft")


def _stored_by_techniques() -> list[str]:
    """Return the techniques that only change how a model is stored."""
    from kit.compression import TECHNIQUES

    return [name for name, technique in TECHNIQUES.items() if technique.gives in STORED]


def _edit(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    content = change(read_object(path, ModelError))
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
