"""Usage section of a model card: Python code that loads each exported format and predicts with it."""

from __future__ import annotations

from kit.models.kinds import KINDS, CardExample
from kit.publishing.card_facts import CardFacts, CardFormat
from kit.records.record import Record
from kit.runtime.markdown import code


def usage(exported: CardFormat, record: Record, facts: CardFacts) -> str:
    """Return the required packages and an example of one exported format, as Markdown."""
    requirements = f"`pip install {exported.packages}`"
    if not exported.packages:  # kit is in no package index
        requirements = "kit, installed from a clone of its repository with `pip install .`"
    location = "" if exported.folder == "." else f" (in `{exported.folder}/`)"
    intro = f"**{exported.name}**{location}: {requirements}"
    if exported.arguments.get("trust_remote_code"):
        intro += (
            ". transformers has no class for this architecture: `trust_remote_code=True` loads the class in the "
            "folder's `modeling_*.py`"
        )
    example = CardExample(
        place=facts.name if exported.folder == "." else f"{facts.name}/{exported.folder}",
        download=_download(facts, exported),
        arguments=exported.arguments,
        labels=record.labels,
        max_length=record.recipe.data.max_length,
        reads_pairs=len(record.content.data.text_columns) > 1,
        multi_label=record.recipe.data.multi_label,
    )
    return intro + "\n\n" + code(KINDS[exported.loader].example(example), "python")


def _download(facts: CardFacts, exported: CardFormat) -> str:
    """Return code that sets `folder`, after a download if the model is on the Hub."""
    inside = "" if exported.folder == "." else f"/{exported.folder}"
    if "/" not in facts.name:
        return f'folder = "{facts.name}{inside}"'
    joined = f' + "{inside}"' if inside else ""
    return f'from huggingface_hub import snapshot_download\nfolder = snapshot_download("{facts.name}"){joined}'
