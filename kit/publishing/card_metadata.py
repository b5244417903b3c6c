"""Metadata at the top of a model card: the Hub reads its search index, widget and table of results from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.measurement.intervals import Estimate
from kit.measurement.units import OF_HUNDRED
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


def card_metadata(record: Record, facts: CardFacts, pipeline: str) -> str:
    """Return the metadata as YAML.

    Args:
        record: Record of the run.
        facts: Facts of the export.
        pipeline: Name of the task on the Hub.
    """
    from huggingface_hub import EvalResult, ModelCardData

    data = record.content.data
    results = [
        EvalResult(
            task_type=pipeline,
            dataset_type=facts.dataset or "private",
            dataset_name=facts.dataset or str(facts.recipe["data"]["source"]),
            dataset_revision=data.revision if facts.dataset else None,
            dataset_split="test",
            metric_type=_METRIC_TYPES.get(name, name),
            metric_name=_name_with_interval(name, estimate),
            metric_value=_scaled(name, estimate.value),
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
        pipeline_tag=pipeline,
        tags=["kit", record.content.task, *saved.hub_tags],
        metrics=sorted({_METRIC_TYPES.get(record.main_metric, record.main_metric)}),
        eval_results=results,
    )
    return str(card.to_yaml()).strip()


def _name_with_interval(metric: str, estimate: Estimate) -> str:
    places = _places(metric)
    low, high = (f"{_scaled(metric, end):.{places}f}" for end in (estimate.low, estimate.high))
    return f"{title(metric)} (95 % interval {low} to {high})"


def _scaled(metric: str, value: float) -> float:
    """Return a value on the scale of the Hub, where scores of translations run from 0 to 100."""
    return round((100 if metric in OF_HUNDRED else 1) * value, _places(metric))


def _places(metric: str) -> int:
    return 2 if metric in OF_HUNDRED else 4
