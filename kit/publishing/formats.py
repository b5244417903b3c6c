"""Formats: the files that a model leaves in, how they are loaded where kit is not installed, and how exact they are.

Knows the models of Records. Knows nothing of cards, of the Hub, or of what is measured.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit.errors import ModelError, RecipeError
from kit.models.architectures import cnn_bilstm as small
from kit.models.architectures import pooled
from kit.models.backends.onnx import FACTS_FILE
from kit.models.checkpoints.origin import without_local_keys
from kit.models.saved_kind import Kind, kind_of
from kit.models.translation.seq2seq import TARGET
from kit.publishing.translators import LIKELIEST, translating
from kit.records.record import MODEL_FOLDER, Record
from kit.runtime.json_files import read_object
from kit.runtime.names import plain_name, regular_files

ADAPTER = "adapter"
GRAPH = "onnx"
_PACKAGES = {
    "transformers": "transformers torch",
    "peft": "peft transformers torch",
    "onnxruntime": "onnxruntime tokenizers",
    "kit": "",  # from its repository
    "seq2seq": "transformers torch",
    "ctranslate2": "ctranslate2 transformers",
    LIKELIEST: "onnxruntime tokenizers",
}
_QUANTIZED_BY = {"torchao": " torchao", "bitsandbytes": " bitsandbytes accelerate"}
# Architectures of kit: the file that transformers needs to load them, which needs nothing of kit.
_OWN_CODE = {
    "kit_pooled": (pooled, "PooledConfig", "PooledClassifier"),
    "kit_cnn": (small, "TextCnnConfig", "TextCnn"),
    "kit_bilstm": (small, "BiLstmConfig", "BiLstm"),
}


@dataclass(frozen=True)
class Format:
    """A way to leave.

    step: the technique of compression that makes it of a model of torch, None where the run's own files are it.
    loader: what loads it, see `probe`. arguments: for that, beside the folder.
    """

    name: str
    step: str | None
    loader: str
    arguments: dict[str, Any] = field(default_factory=dict)


def plan_formats(record: Record, names: list[str], with_code: bool = False) -> list[Format]:
    """How each format is made of a run. No names: its own, or a graph where that would need code.

    with_code: take along the file of code that transformers needs to load a shape of kit's own.
    Raises RecipeError for a name that there is not, ModelError for what cannot be made or loaded, before anything is
    computed.
    """
    from kit.compression import TECHNIQUES
    from kit.compression.base import require_kind
    from kit.recipe.sections.compression import CompressSection

    kind = kind_of(record.model_folder, record.backend)
    own = _own_format(record, kind)
    found = []
    graph_instead = _needs_code(own) and not with_code and kind in TECHNIQUES[GRAPH].takes
    for name in dict.fromkeys(names or [GRAPH if graph_instead else own.name]):
        if name == own.name:
            found.append(own)
        elif name == ADAPTER:
            found.append(_adapter(record))
        elif name in _made_by_steps():
            technique = TECHNIQUES[name]
            require_kind(name, kind, technique.takes, record.id)
            technique.require(CompressSection.model_validate({"steps": [name]}).steps[0], record)
            found.append(Format(name, name, *_loading(technique.gives, name, record)))
        else:
            known = [own.name, *([ADAPTER] if (record.model_folder / ADAPTER).is_dir() else []), *_made_by_steps()]
            raise RecipeError(f"--format: kit cannot export {record.id} as {name}", f"available: {', '.join(known)}")
    if not with_code:
        _require_plain(found, record, kind in TECHNIQUES[GRAPH].takes)
    return found


def _require_plain(formats: list[Format], record: Record, has_graph: bool) -> None:
    """Raise ModelError if transformers alone cannot load one of them: who loads a model need not trust any code."""
    for each in filter(_needs_code, formats):
        source = (record.content["settings"].get("compression") or {}).get("source")
        graph = f"--format {GRAPH} needs none" if has_graph else f"{source} with --format {GRAPH} needs none"
        raise ModelError(
            f"--format {each.name}: plain transformers has no class for the shape of {record.id}, only a file of code "
            "would let it load",
            f"--with-code takes that file along, and then loading needs trust_remote_code=True; {graph}; a model that "
            "is trained with model.pooling native needs none either",
        )


def _needs_code(made: Format) -> bool:
    return bool(made.arguments.get("trust_remote_code"))


def write_format(made: Format, record: Record, folder: Path) -> None:
    """Copy the model of a Record, which is in this format already, without what concerns this machine alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in _files_of(made, record).items():
        place = folder / name
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, place)
    if made.name == ADAPTER:
        checkpoint = record.content["checkpoint"]
        base = {"base_model_name_or_path": checkpoint["name"], "revision": checkpoint["revision"]}
        _edit(folder / "adapter_config.json", lambda config: config | base)
        return
    for path in folder.rglob("*.json"):
        if path.name in ("config.json", "tokenizer_config.json"):
            _edit(path, without_local_keys)
    config = folder / "config.json"
    if made.loader == "transformers" and config.is_file():
        kind = read_object(config, ModelError)["model_type"]
        if kind in _OWN_CODE:
            module, config_class, model_class = _OWN_CODE[kind]
            file = Path(str(module.__file__))
            shutil.copyfile(file, folder / f"modeling_{kind}.py")
            classes = {"AutoConfig": config_class, "AutoModelForSequenceClassification": model_class}
            places = {auto: f"modeling_{kind}.{name}" for auto, name in classes.items()}
            _edit(config, lambda content: content | {"auto_map": places})


def _files_of(made: Format, record: Record) -> dict[str, Path]:
    """Return the files of a format by their place in the exported folder: those that record.json lists, and no links.

    An adapter goes with the tokenizer of its model, a whole model without the adapter that was merged into it.
    """
    prefix = f"{MODEL_FOLDER}/"
    listed = [name.removeprefix(prefix) for name in record.content["files"] if name.startswith(prefix)]
    adapter = {name.removeprefix(f"{ADAPTER}/"): name for name in listed if name.startswith(f"{ADAPTER}/")}
    own = {name: name for name in listed if "/" not in name or name.startswith(f"{TARGET}/")}
    if made.name == ADAPTER:
        own = {**adapter, **{name: name for name in own if "/" not in name and "token" in name}}
    files = regular_files(record.folder, only=(MODEL_FOLDER,))
    # Code is written anew, and peft writes a card of its own, with local paths.
    return {name: files[prefix + place] for name, place in own.items() if Path(name).suffix not in (".py", ".md")}


def packages(made: Format, folder: Path) -> str:
    """What `pip install` must be given to load a format that was written to a folder; empty where that is kit alone."""
    config = folder / "config.json"
    content = read_object(config, ModelError) if config.is_file() else {}
    method = (content.get("quantization_config") or {}).get("quant_method", "")
    return _PACKAGES[made.loader] + (
        _QUANTIZED_BY.get(method, "") if made.loader in ("transformers", "seq2seq") else ""
    )


def _own_format(record: Record, kind: Kind) -> Format:
    config = record.model_folder / "config.json"
    if kind is Kind.TFIDF:
        return Format("tfidf", None, "kit")
    if kind in (Kind.ONNX, Kind.QUANTIZED_ONNX):
        facts = read_object(record.model_folder / FACTS_FILE, ModelError)
        name = {"float32": "onnx"}.get(facts["weights"], f"{facts['weights']}-onnx")
        plain_name(name, f"{record.model_folder / FACTS_FILE}: weights", ModelError)
        return Format(name, None, *_loading(kind, "", record))
    if kind is Kind.CT2:
        return Format("ct2", None, *_loading(kind, "", record))
    if kind is Kind.EARLY_EXIT:
        raise ModelError(
            f"{record.id} has early exits, which neither transformers nor a graph can load",
            f"export the run it was made of: {record.content['settings']['compression']['source']}",
        )
    model = read_object(config, ModelError)
    if "auto_map" in model:
        raise ModelError(
            f"{record.id} needs code that its checkpoint brought along, which is not kit's to publish",
            "export a graph instead: --format onnx",
        )
    return Format("safetensors", None, *_loading(kind, model["model_type"], record))


def _loading(kind: Kind, model_type: str, record: Record) -> tuple[str, dict[str, Any]]:
    """What loads a model of this kind without kit, and with which arguments."""
    if record.recipe.task == "translation":
        return translating(kind, record.model_folder)
    if kind in (Kind.ONNX, Kind.QUANTIZED_ONNX):
        return "onnxruntime", {}
    arguments: dict[str, Any] = {"truncation": True}
    if read_object(record.model_folder / "config.json", ModelError)["model_type"] in _OWN_CODE:
        arguments["trust_remote_code"] = True
    if kind is Kind.HALF:
        arguments["dtype"] = "float32"  # as it was tested; processors without 16-bit arithmetic are slow in it
    return "transformers", arguments


def _adapter(record: Record) -> Format:
    if record.recipe.task == "translation":
        raise ModelError(
            f"--format adapter: {record.id} translates, and of a translator no adapter is kept",
            "--format safetensors has the merged weights",
        )
    if not (record.model_folder / ADAPTER).is_dir():
        raise ModelError(
            f"--format adapter: {record.id} has no adapter", "train with method lora, or leave --format out"
        )
    config = read_object(record.model_folder / "config.json", ModelError)
    if config["model_type"] in _OWN_CODE:
        raise ModelError(
            f"--format adapter: {record.id} pools its vectors in a way that transformers has no class for",
            "--format onnx has the merged weights; or train with model.pooling native",
        )
    if record.content["checkpoint"]["revision"] is None:
        raise ModelError(
            f"--format adapter: {record.content['checkpoint']['name']}, which it belongs to, is not on the Hub",
            "--format safetensors has the merged weights",
        )
    return Format(ADAPTER, None, "peft")


def _made_by_steps() -> list[str]:
    """Techniques that write a model otherwise, rather than change what it is."""
    from kit.compression import TECHNIQUES

    return [name for name, each in TECHNIQUES.items() if each.gives in _STORED]


_STORED = (Kind.HALF, Kind.QUANTIZED, Kind.ONNX, Kind.QUANTIZED_ONNX, Kind.CT2)


def _edit(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    content = change(read_object(path, ModelError))
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
