"""Model card of an exported model: use, results, verification, limits, training and reproduction.

Every sentence is written from the Record and from measurements. The metadata give the Hub its results (`model-index`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.measurement.intervals import shown
from kit.measurement.units import shown_value
from kit.publishing.card_facts import CardFacts
from kit.publishing.card_metadata import card_metadata
from kit.publishing.card_usage import usage
from kit.records.content import Provenance
from kit.records.record import Record
from kit.reporting.formatting import title
from kit.runtime.markdown import code, inline, table
from kit.tasks import task_for
from kit.tasks.base import CardText

if TYPE_CHECKING:
    from kit.publishing.reproduce import Reproduction


def model_card(record: Record, facts: CardFacts) -> str:
    """Return the card as Markdown, with metadata in front."""
    data = record.content.data
    task = task_for(record.recipe, record.labels)
    text = task.card_text(data.text_columns, record.content.details.to_dict(), data.sizes.test)
    sections = [
        f"# {inline(facts.name)}",
        text.summary,
        _origin(record, facts, text),
        "## Use",
        *(usage(exported, record, facts) for exported in facts.formats),
        "## Results",
        *_results(record, text),
        *_history(facts),
        *_choice(facts),
        *(_speed(facts) if facts.speeds else []),
        "## Verification",
        _verification(facts),
        "## Limits",
        "\n".join(f"- {line}" for line in (*_limits(record, facts), *text.limits)),
        "## Training",
        _training(record, facts),
        *(["## Reproduce this model", _reproduction(facts.reproduction)] if facts.reproduction else []),
    ]
    return f"---\n{card_metadata(record, facts, text.pipeline)}\n---\n\n" + "\n\n".join(sections) + "\n"


def _origin(record: Record, facts: CardFacts, text: CardText) -> str:
    """Return the base checkpoint, the method, the sizes of the data and of the model."""
    content, sizes = record.content, record.content.data.sizes
    checkpoint = content.checkpoint
    base = "without a pretrained checkpoint"
    if checkpoint:
        base = f"from {inline(facts.checkpoint or 'a checkpoint')}"
        if checkpoint.revision:
            base += f" at revision `{checkpoint.revision}`"
        base += f" (licence: {inline(facts.licence or 'unknown')})"
    return (
        f"Trained {base} with method `{record.how}` on {sizes.budget:,} {text.examples} "
        f"({sizes.train:,} for training, {sizes.validation:,} for validation) and tested on {sizes.test:,}. "
        f"The model has {content.parameters:,} parameters."
    )


def _results(record: Record, text: CardText) -> list[str]:
    """Return the metrics, beside those of a random guess and of the most frequent label if there are any, and notes."""
    metrics, baselines = record.metrics, record.baselines
    names = [record.main_metric, *(name for name in metrics if name != record.main_metric)]
    count = record.content.data.sizes.test
    references = baselines.by_name if baselines.majority else {}
    header = ["metric", f"on {count:,} test examples, with 95 % interval", *references]
    rows = [
        (
            title(name),
            shown(name, metrics[name]),
            *(shown_value(name, values[name]) if name in values else "" for values in references.values()),
        )
        for name in names
    ]
    worse = baselines.not_beaten(record.main_metric, metrics[record.main_metric])
    notes = [line for line in (worse, *record.class_notes(names)) if line]
    sentences = [inline(f"{line[0].upper()}{line[1:]}.") for line in notes]
    loss = record.loss_on_references
    if loss is not None:
        sentences.append(f"Loss on the references: {loss:.3f} per token of the model's tokenizer.")
    return [table(header, rows), *text.results, *sentences]


def _history(facts: CardFacts) -> list[str]:
    """Return the verdicts of distillation and compression; empty for a model that was only trained."""
    if not facts.history:
        return []
    return ["Distillation and compression:", "\n".join(f"- {inline(line)}" for line in facts.history)]


def _choice(facts: CardFacts) -> list[str]:
    """Return the study that chose the model; empty for a model that no study chose."""
    if not facts.chosen:
        return []
    return ["Choice:", "\n".join(f"- {inline(line)}" for line in facts.chosen)]


def _speed(facts: CardFacts) -> list[str]:
    header, *rows = facts.speeds
    return ["## Speed and size", table(list(header), rows), *map(inline, facts.speed_notes)]


def _verification(facts: CardFacts) -> str:
    lines = [f"- `{exported.name}`: {inline(exported.proof)}" for exported in facts.formats]
    without_kit = " without kit" * all(exported.packages for exported in facts.formats)
    intro = (
        f"Each format was loaded in a new process{without_kit}, without the files of the run, and its predictions on "
        "the test examples were compared with those of the run"
    )
    return f"{intro}:\n\n" + "\n".join(lines)


def _limits(record: Record, facts: CardFacts) -> list[str]:
    lines = []
    if facts.cut is not None:
        max_length = record.recipe.data.max_length
        lines.append(
            f"Texts are truncated to {max_length} tokens ({100 * facts.cut:.1f} % of the test texts are longer)."
        )
    if facts.vocabulary:
        trimmed = facts.vocabulary
        changed = 100 * (trimmed.new_texts_read_differently or 0.0)
        lines.append(
            f"The vocabulary was reduced to {trimmed.tokens:,} of {trimmed.tokens_before or 0:,} tokens: about "
            f"{changed:.0f} % of new texts contain a word that is split into smaller pieces than before."
        )
    languages = f"Languages: {', '.join(facts.languages)}." if facts.languages else "Its languages were not declared."
    lines.append(f"{languages} The model was tested only on texts like those it was trained on.")
    if "ece" in record.metrics:
        error = shown("ece", record.metrics["ece"])
        lines.append(f"Scores are not exact probabilities: the expected calibration error is {error}.")
    return lines


def _training(record: Record, facts: CardFacts) -> str:
    content, data = record.content, record.content.data
    provenance = Provenance.model_validate(content.provenance)
    licence = facts.data_licence or "unknown"
    hashes = ", ".join(f"{name} `{sha[:16]}`" for name, sha in data.fingerprints.items())
    versions = {
        "kit": provenance.kit,
        "commit": provenance.commit,
        "python": provenance.python,
        **provenance.versions,
    }
    packages = "\n".join(f"{name}=={version}" for name, version in versions.items() if version)
    return (
        f"Data: {inline(_source(facts))}, licence: {inline(licence)}; sha256 of the splits: {hashes}"
        + (f"; revision `{data.revision}`" if data.revision else "")
        + f".\n\nCreated on {inline(provenance.cpu)}, {provenance.cores} cores"
        + (f", {inline(', '.join(provenance.gpus))}" if provenance.gpus else "")
        + f", with these versions:\n\n{code(packages, '')}"
    )


def _reproduction(reproduction: Reproduction) -> str:
    """Return the recipes and commands that repeat the run in an empty folder, and the files that it must contain."""
    parts = [f"In an empty folder, the commands below reproduce the run `{reproduction.run}`."]
    if reproduction.missing:
        parts.append(f"Some inputs are missing: {inline(' '.join(reproduction.missing))}")
    if reproduction.files:
        parts.append("The folder must contain these files, which are not part of this repository:")
        parts.append(table(["file", "sha256"], list(reproduction.files.items())))
    for name, recipe in reproduction.recipes.items():
        parts += [f"`{name}`:", code(recipe, "yaml")]
    parts += ["Then run:", code("\n".join(reproduction.commands), "sh")]
    return "\n\n".join(parts)


def _source(facts: CardFacts) -> str:
    """Return the source of the data, with the filter on its rows."""
    filters = facts.recipe["data"].get("where") or {}
    conditions = ", ".join(f"{key}={value}" for key, value in filters.items())
    return str(facts.recipe["data"]["source"]) + (f" ({conditions})" if conditions else "")
