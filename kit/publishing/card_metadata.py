"""Metadata at the top of a model card: the Hub reads its search index, widget and table of results from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.models.kinds import KINDS
from kit.records.record import Record
from kit.reporting.formatting import title

if TYPE_CHECKING:
    from kit.publishing.card_facts import CardFacts

# Names of the metrics on the Hub, where they differ.
_METRIC_TYPES = {
    "macro_f1": "f1",
    "macro_precision": "precision",
    "macro_recall": "recall",
    "mcc": "matthews_correlation",
    "bleu": "sacrebleu",
}


def card_metadata(record: Record, facts: CardFacts) -> str:
    """Return the metadata as YAML."""
    from huggingface_hub import EvalResult, ModelCardData

    data, translates = record.content["data"], record.recipe.task == "translation"
    kind = "translation" if translates else "text-classification"
    scale, places = (100, 2) if translates else (1, 4)  # translation scores run from 0 to 100
    results = [
        EvalResult(
            task_type=kind,
            dataset_type=facts.dataset or "private",
            dataset_name=facts.dataset or str(facts.recipe["data"]["source"]),
            dataset_revision=data["revision"] if facts.dataset else None,
            dataset_split="test",
            metric_type=_METRIC_TYPES.get(name, name),
            metric_name=f"{title(name)} (95 % interval {scale * estimate.low:.{places}f} to "
            f"{scale * estimate.high:.{places}f})",
            metric_value=round(scale * estimate.value, places),
        )
        for name, estimate in record.metrics.items()
    ]
    saved = KINDS[facts.formats[0].loader]
    card = ModelCardData(
        model_name=facts.name,
        license=facts.licence,
        language=list(facts.languages) or None,
        base_model=facts.base,
        datasets=[facts.dataset] if facts.dataset else None,
        library_name=saved.hub_library,
        pipeline_tag=kind,
        tags=["kit", str(record.content["task"]), *saved.hub_tags],
        metrics=sorted({_METRIC_TYPES.get(record.main_metric, record.main_metric)}),
        eval_results=results,
    )
    return str(card.to_yaml()).strip()
