"""Model card of an exported model: use, results, proof, limits, training and reproduction.

Every sentence is written from the Record and from measurements. The metadata give the Hub its results (`model-index`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.measurement.intervals import shown
from kit.measurement.units import shown_value
from kit.publishing import card_translation as translation
from kit.publishing.card_facts import CardFacts, CardFormat
from kit.publishing.card_metadata import card_metadata
from kit.records.record import Record
from kit.reporting.formatting import title
from kit.reporting.markdown import code, inline, span, table

if TYPE_CHECKING:
    from kit.publishing.reproduce import Reproduction

_SHOWN_LABELS = 40


def model_card(record: Record, facts: CardFacts) -> str:
    """The card as Markdown with metadata in front."""
    sections = [
        f"# {inline(facts.name)}",
        _what(record, facts),
        "## Use",
        *(_use(each, record, facts) for each in facts.formats),
        "## Results",
        _results(record),
        *(["How it came about:", "\n".join(f"- {inline(line)}" for line in facts.history)] if facts.history else []),
        *(_speed(record, facts) if facts.speeds else []),
        "## Proof",
        _proof(facts),
        "## Limits",
        "\n".join(f"- {line}" for line in _limits(record, facts)),
        "## Training",
        _training(record, facts),
        *(["## Reproduce this model", _reproduction(facts.reproduction)] if facts.reproduction else []),
    ]
    return f"---\n{card_metadata(record, facts)}\n---\n\n" + "\n\n".join(sections) + "\n"


def _what(record: Record, facts: CardFacts) -> str:
    content = record.content
    if _translates(record):
        return f"{translation.what_it_does(record)}\n\n{_whence(record, facts)}"
    labels = [span(label) for label in record.labels]
    listed = ", ".join(labels[:_SHOWN_LABELS])
    if len(labels) > _SHOWN_LABELS:
        listed += f" and {len(labels) - _SHOWN_LABELS} more (kit.json has all)"
    several = "any number of" if record.recipe.data.multi_label else "one of"
    texts = " and ".join(span(column) for column in content["data"]["text_columns"])
    given = "a text" if len(content["data"]["text_columns"]) == 1 else "two texts"
    return f"Gives {given} ({texts}) {several} {len(labels)} labels: {listed}.\n\n{_whence(record, facts)}"


def _whence(record: Record, facts: CardFacts) -> str:
    """What it was made of."""
    content, sizes = record.content, record.content["data"]["sizes"]
    checkpoint = content["checkpoint"]
    base = (
        f"It starts from {inline(facts.checkpoint or 'a checkpoint')}" if checkpoint else "It starts from no checkpoint"
    )
    if checkpoint and checkpoint["revision"]:
        base += f" at revision `{checkpoint['revision']}`"
    licence = f" (licence: {inline(facts.licence)})" if facts.licence else " (licence not known)" if checkpoint else ""
    named = "pairs of texts" if _translates(record) else "labelled examples"
    return (
        f"{base}{licence}, method `{record.how}`, with {sizes['budget']:,} {named} "
        f"({sizes['train']:,} to learn from, {sizes['validation']:,} to validate on) and {sizes['test']:,} for the "
        f"test. "
        f"{content['parameters']:,} parameters."
    )


def _translates(record: Record) -> bool:
    return record.recipe.task == "translation"


def _use(each: CardFormat, record: Record, facts: CardFacts) -> str:
    where = "" if each.folder == "." else f"/{each.folder}"
    lines = {
        "transformers": _with_transformers,
        "peft": _with_peft,
        "onnxruntime": _with_onnxruntime,
        "kit": _with_kit,
        "seq2seq": _with_seq2seq,
        "ctranslate2": _with_ctranslate2,
        "onnx-seq2seq": _with_graphs,
    }
    needs = f"`pip install {each.packages}`"
    if each.loader == "kit":  # which no package index has
        needs = "kit itself, installed from a copy of its repository: `pip install .` there"
    intro = f"**{each.name}**" + (f" (in `{each.folder}/`)" if where else "") + f": {needs}"
    if each.arguments.get("trust_remote_code"):
        intro += (
            ". transformers has no class for this shape: `trust_remote_code` lets it load the one in the "
            "folder's `modeling_*.py`"
        )
    return intro + "\n\n" + code(lines[each.loader](each, record, facts), "python")


def _with_transformers(each: CardFormat, record: Record, facts: CardFacts) -> str:
    arguments = "".join(f", {name}={value!r}" for name, value in each.arguments.items())
    several = ", top_k=None" if record.recipe.data.multi_label else ""
    return (
        "from transformers import pipeline\n"
        f'classify = pipeline("text-classification", "{_place(facts, each)}"{arguments})\n'
        f"print(classify({_example(record)}{several}))"
    )


def _with_peft(each: CardFormat, record: Record, facts: CardFacts) -> str:
    return (
        "from peft import AutoPeftModelForSequenceClassification\n"
        "from transformers import AutoTokenizer, pipeline\n"
        "model = AutoPeftModelForSequenceClassification.from_pretrained(\n"
        f'    "{_place(facts, each)}", num_labels={len(record.labels)}, ignore_mismatched_sizes=True,\n'
        f"    id2label={dict(enumerate(record.labels))!r})\n"
        f'tokenizer = AutoTokenizer.from_pretrained("{_place(facts, each)}")\n'
        'classify = pipeline("text-classification", model=model, tokenizer=tokenizer, truncation=True)\n'
        f"print(classify({_example(record)}))"
    )


def _with_onnxruntime(each: CardFormat, record: Record, facts: CardFacts) -> str:
    pair = ", " if len(record.content["data"]["text_columns"]) > 1 else ""
    texts = '"a text"' + (pair + '"another"' if pair else "")
    return (
        "import json, numpy as np, onnxruntime\n"
        "from tokenizers import Tokenizer\n"
        f"{_downloaded(facts, each)}\n"
        'tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")\n'
        f"tokenizer.no_padding(); tokenizer.enable_truncation({record.recipe.data.max_length})\n"
        'session = onnxruntime.InferenceSession(f"{folder}/model.onnx", providers=["CPUExecutionProvider"])\n'
        f"text = tokenizer.encode({texts})\n"
        'given = {"input_ids": text.ids, "attention_mask": text.attention_mask, "token_type_ids": text.type_ids}\n'
        "given = {each.name: np.array([given[each.name]], np.int64) for each in session.get_inputs()}\n"
        'logits = session.run(["logits"], given)[0][0]\n'
        'names = json.load(open(f"{folder}/config.json"))["id2label"]\n'
        + (
            "print([names[str(index)] for index in np.flatnonzero(logits > 0)])"
            if record.recipe.data.multi_label
            else "print(names[str(logits.argmax())])"
        )
    )


def _with_seq2seq(each: CardFormat, record: Record, facts: CardFacts) -> str:
    return translation.with_seq2seq(_place(facts, each), each.arguments)


def _with_ctranslate2(each: CardFormat, record: Record, facts: CardFacts) -> str:
    return translation.with_ctranslate2(_downloaded(facts, each), each.arguments)


def _with_graphs(each: CardFormat, record: Record, facts: CardFacts) -> str:
    return translation.with_graphs(_downloaded(facts, each), each.arguments, record.recipe.data.max_length)


def _place(facts: CardFacts, each: CardFormat) -> str:
    return facts.name if each.folder == "." else f"{facts.name}/{each.folder}"


def _downloaded(facts: CardFacts, each: CardFormat) -> str:
    inside = "" if each.folder == "." else f"/{each.folder}"
    if "/" not in facts.name:
        return f'folder = "{facts.name}{inside}"'
    joined = f' + "{inside}"' if inside else ""
    return f'from huggingface_hub import snapshot_download\nfolder = snapshot_download("{facts.name}"){joined}'


def _with_kit(each: CardFormat, record: Record, facts: CardFacts) -> str:
    pair = len(record.content["data"]["text_columns"]) > 1
    example = '[("a text", "another")]' if pair else '"a text"'
    return f'from kit import predict\nprint(list(predict("{_place(facts, each)}", {example})))'


def _example(record: Record) -> str:
    if len(record.content["data"]["text_columns"]) > 1:
        return '{"text": "a text", "text_pair": "another"}'
    return '"a text"'


def _results(record: Record) -> str:
    metrics = record.metrics
    names = [record.main_metric, *(name for name in metrics if name != record.main_metric)]
    count = record.content["data"]["sizes"]["test"]
    header = ["metric", f"on {count:,} test examples, with 95 % interval"]
    if not _translates(record):
        return _label_results(record, header, names)
    text = table(header, [(title(name), shown(name, metrics[name])) for name in names])
    text += "\n\nBy sacrebleu:\n\n" + "\n".join(translation.signature_lines(record))
    loss = record.loss_on_references
    return text if loss is None else f"{text}\n\nLoss on the references: {loss:.3f} a token of the model's own."


def _label_results(record: Record, header: list[str], names: list[str]) -> str:
    """The metrics beside a random guess and the most frequent label."""
    metrics, baselines = record.metrics, record.baselines
    both = (baselines.chance, baselines.majority)
    rows = [
        (title(name), shown(name, metrics[name]), *(shown_value(name, b[name]) if name in b else "" for b in both))
        for name in names
    ]
    lines = [table([*header, "chance", "majority"], rows)]
    worse = baselines.not_beaten(record.main_metric, metrics[record.main_metric])
    return "\n\n".join(
        [*lines, *(inline(f"{line[0].upper()}{line[1:]}.") for line in (worse, *record.class_notes(names)) if line)]
    )


def _speed(record: Record, facts: CardFacts) -> list[str]:
    head, *rows = facts.speeds
    return ["## Speed and size", table(list(head), rows), *map(inline, facts.speed_notes)]


def _proof(facts: CardFacts) -> str:
    lines = [f"- `{each.name}`: {inline(each.proof)}" for each in facts.formats]
    without = " without kit" * all(each.loader != "kit" for each in facts.formats)
    about = (
        f"Each format was loaded in a fresh process{without}, with nothing of the run's folder, and answered the test"
    )
    return f"{about} examples:\n\n" + "\n".join(lines)


def _limits(record: Record, facts: CardFacts) -> list[str]:
    found = []
    if facts.cut is not None:
        longest = record.recipe.data.max_length
        found.append(f"Texts are cut after {longest} tokens ({100 * facts.cut:.1f} % of the test texts).")
    if facts.vocabulary:
        trimmed = facts.vocabulary
        share = 100 * trimmed["new_texts_read_differently"]
        found.append(
            f"Its vocabulary has {trimmed['tokens']:,} of {trimmed['tokens_before']:,} tokens: about {share:.0f} % "
            "of new texts have a word that is read in smaller pieces than before."
        )
    known = f"Languages: {', '.join(facts.languages)}." if facts.languages else "Its languages were not declared."
    found.append(f"{known} It was tested on texts like those it was trained on, and on no others.")
    if "ece" in record.metrics:
        found.append(f"Scores are not exact probabilities: calibration error {shown('ece', record.metrics['ece'])}.")
    if _translates(record):
        return found + translation.limits(record)
    found.append(
        "It gives one of its labels to every text, also to one that none of them fits."
        * (not record.recipe.data.multi_label)
    )
    return [line for line in found if line]


def _training(record: Record, facts: CardFacts) -> str:
    content, data = record.content, record.content["data"]
    where = content["provenance"]
    licence = facts.data_licence or "not known"
    prints = ", ".join(f"{name} `{sha[:16]}`" for name, sha in data["fingerprints"].items())
    versions = {"kit": where["kit"], "commit": where["commit"], "python": where["python"], **where["versions"]}
    packages = "\n".join(f"{name}=={version}" for name, version in versions.items() if version)
    return (
        f"Data: {inline(_source(facts))}, licence: {inline(licence)}; sha256 of the splits: {prints}"
        + (f"; revision `{data['revision']}`" if data["revision"] else "")
        + f".\n\nMade on {inline(where['cpu'])}, {where['cores']} cores"
        + (f", {inline(', '.join(where['gpus']))}" if where["gpus"] else "")
        + f", with these versions:\n\n{code(packages, '')}"
    )


def _reproduction(reproduction: Reproduction) -> str:
    """Recipes and commands that make the run again in an empty folder, and the files that it must hold."""
    parts = [f"In an empty folder, these commands make the run `{reproduction.run}` again."]
    if reproduction.missing:
        parts.append(f"Something is missing: {inline(' '.join(reproduction.missing))}")
    if reproduction.files:
        parts.append("The folder must hold these files, which are not part of this repository:")
        parts.append(table(["file", "sha256"], list(reproduction.files.items())))
    for name, recipe in reproduction.recipes.items():
        parts += [f"`{name}`:", code(recipe, "yaml")]
    parts += ["Then run:", code("\n".join(reproduction.commands), "sh")]
    return "\n\n".join(parts)


def _source(facts: CardFacts) -> str:
    where = facts.recipe["data"].get("where") or {}
    chosen = ", ".join(f"{key}={value}" for key, value in where.items())
    return str(facts.recipe["data"]["source"]) + (f" ({chosen})" if chosen else "")
