"""Arguments and options of several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, e.g. runs/finetune-...")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe key, e.g. train.epochs=2. Repeatable."),
]
StudyFolder = Annotated[Path, typer.Argument(metavar="STUDY", help="A study's folder, e.g. runs/study-sentiment")]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Allow the model to run Python files from its checkpoint.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
MetricTarget = Annotated[
    float | None,
    typer.Option("--target", help="Least value of a study's metric, e.g. 0.85 or a BLEU of 30. Default: the best."),
]
MaxLatencyMs = Annotated[
    float | None, typer.Option("--max-latency-ms", min=0, help="Largest median time per text, of a study's models.")
]
MaxSizeMb = Annotated[
    float | None, typer.Option("--max-size-mb", min=0, help="Largest size of the saved model, of a study's models.")
]
