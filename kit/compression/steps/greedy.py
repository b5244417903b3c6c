"""Greedy decoding: a translator with the same weights that writes the most probable token, without beam search."""

from __future__ import annotations

from kit.errors import ModelError
from kit.methods import Fitted, Job
from kit.models.kinds.form import Form
from kit.models.kinds.torch_translator import SEARCH_FILE
from kit.models.translation.translator import Translator
from kit.recipe.sections.compression import GreedyStep
from kit.records.record import Record
from kit.runtime.json_files import read_object


class Greedy:
    """A translator that decodes greedily."""

    takes = (Form.TRANSLATOR, Form.WARM_TRANSLATOR)
    gives = Form.TORCH  # the kind of the model stays the same

    def require(self, step: GreedyStep, source: Record | None) -> None:
        """Raise ModelError if the model decodes greedily already."""
        if source is not None and read_object(source.model_folder / SEARCH_FILE, ModelError).get("num_beams") == 1:
            raise ModelError(
                f"greedy: {source.id} decodes greedily already",
                "leave the step out",
            )

    def variants(self, step: GreedyStep) -> list[GreedyStep]:
        """Return no variants: the step has no settings."""
        return []

    def compress(self, step: GreedyStep, source: Record, job: Job) -> Fitted:
        """Replace the search that is saved with the model."""
        translator = Translator.load(source.model_folder)
        translator.search_greedily()
        return Fitted(translator, settings={"device": job.hardware.device})
