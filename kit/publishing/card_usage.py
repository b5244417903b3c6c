"""Usage section of a model card: Python code that loads each exported format and predicts with it."""

from __future__ import annotations

from kit.publishing import card_translation as translation
from kit.publishing.card_facts import CardFacts, CardFormat
from kit.records.record import Record
from kit.reporting.markdown import code


def usage(exported: CardFormat, record: Record, facts: CardFacts) -> str:
    """Return the required packages and an example of one exported format, as Markdown."""
    examples = {
        "transformers": _with_transformers,
        "peft": _with_peft,
        "onnxruntime": _with_onnxruntime,
        "kit": _with_kit,
        "seq2seq": _with_seq2seq,
        "ctranslate2": _with_ctranslate2,
        "onnx-seq2seq": _with_onnx_seq2seq,
    }
    requirements = f"`pip install {exported.packages}`"
    if exported.loader == "kit":  # kit is in no package index
        requirements = "kit, installed from a clone of its repository with `pip install .`"
    location = "" if exported.folder == "." else f" (in `{exported.folder}/`)"
    intro = f"**{exported.name}**{location}: {requirements}"
    if exported.arguments.get("trust_remote_code"):
        intro += (
            ". transformers has no class for this architecture: `trust_remote_code=True` loads the class in the "
            "folder's `modeling_*.py`"
        )
    return intro + "\n\n" + code(examples[exported.loader](exported, record, facts), "python")


def _with_transformers(exported: CardFormat, record: Record, facts: CardFacts) -> str:
    arguments = "".join(f", {name}={value!r}" for name, value in exported.arguments.items())
    all_labels = ", top_k=None" if record.recipe.data.multi_label else ""
    return (
        "from transformers import pipeline\n"
        f'classify = pipeline("text-classification", "{_place(facts, exported)}"{arguments})\n'
        f"print(classify({_pipeline_input(record)}{all_labels}))"
    )


def _with_peft(exported: CardFormat, record: Record, facts: CardFacts) -> str:
    place = _place(facts, exported)
    return (
        "from peft import AutoPeftModelForSequenceClassification\n"
        "from transformers import AutoTokenizer, pipeline\n"
        "model = AutoPeftModelForSequenceClassification.from_pretrained(\n"
        f'    "{place}", num_labels={len(record.labels)}, ignore_mismatched_sizes=True,\n'
        f"    id2label={dict(enumerate(record.labels))!r})\n"
        f'tokenizer = AutoTokenizer.from_pretrained("{place}")\n'
        'classify = pipeline("text-classification", model=model, tokenizer=tokenizer, truncation=True)\n'
        f"print(classify({_pipeline_input(record)}))"
    )


def _with_onnxruntime(exported: CardFormat, record: Record, facts: CardFacts) -> str:
    texts = '"a text", "another"' if _reads_pairs(record) else '"a text"'
    return (
        "import json, numpy as np, onnxruntime\n"
        "from tokenizers import Tokenizer\n"
        f"{_downloaded(facts, exported)}\n"
        'tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")\n'
        f"tokenizer.no_padding(); tokenizer.enable_truncation({record.recipe.data.max_length})\n"
        'session = onnxruntime.InferenceSession(f"{folder}/model.onnx", providers=["CPUExecutionProvider"])\n'
        f"text = tokenizer.encode({texts})\n"
        'tokens = {"input_ids": text.ids, "attention_mask": text.attention_mask, "token_type_ids": text.type_ids}\n'
        "inputs = {node.name: np.array([tokens[node.name]], np.int64) for node in session.get_inputs()}\n"
        'logits = session.run(["logits"], inputs)[0][0]\n'
        'labels = json.load(open(f"{folder}/config.json"))["id2label"]\n'
        + (
            "print([labels[str(index)] for index in np.flatnonzero(logits > 0)])"
            if record.recipe.data.multi_label
            else "print(labels[str(logits.argmax())])"
        )
    )


def _with_seq2seq(exported: CardFormat, record: Record, facts: CardFacts) -> str:
    return translation.with_seq2seq(_place(facts, exported), exported.arguments)


def _with_ctranslate2(exported: CardFormat, record: Record, facts: CardFacts) -> str:
    return translation.with_ctranslate2(_downloaded(facts, exported), exported.arguments)


def _with_onnx_seq2seq(exported: CardFormat, record: Record, facts: CardFacts) -> str:
    max_length = record.recipe.data.max_length
    return translation.with_onnx_seq2seq(_downloaded(facts, exported), exported.arguments, max_length)


def _with_kit(exported: CardFormat, record: Record, facts: CardFacts) -> str:
    example = '[("a text", "another")]' if _reads_pairs(record) else '"a text"'
    return f'from kit import predict\nprint(list(predict("{_place(facts, exported)}", {example})))'


def _place(facts: CardFacts, exported: CardFormat) -> str:
    """Return the model's name, or the folder of the format inside it."""
    return facts.name if exported.folder == "." else f"{facts.name}/{exported.folder}"


def _downloaded(facts: CardFacts, exported: CardFormat) -> str:
    """Return code that sets `folder`, after a download if the model is on the Hub."""
    inside = "" if exported.folder == "." else f"/{exported.folder}"
    if "/" not in facts.name:
        return f'folder = "{facts.name}{inside}"'
    joined = f' + "{inside}"' if inside else ""
    return f'from huggingface_hub import snapshot_download\nfolder = snapshot_download("{facts.name}"){joined}'


def _pipeline_input(record: Record) -> str:
    return '{"text": "a text", "text_pair": "another"}' if _reads_pairs(record) else '"a text"'


def _reads_pairs(record: Record) -> bool:
    return len(record.content["data"]["text_columns"]) > 1
