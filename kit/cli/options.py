"""Arguments and options of several commands."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class EngineOption(StrEnum):
    """Engine that runs the cells of a study."""

    local = "local"
    ray = "ray"
    inline = "inline"


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
LabelCost = Annotated[float | None, typer.Option("--label-cost", min=0, help="Cost of one label.")]
Engine = Annotated[
    EngineOption, typer.Option("--engine", help="Place where cells run: workers here, a Ray cluster, or this process.")
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Cells at once here. Default: one per GPU, or one.")
]

# Options of the commands that write a recipe for data files.
TestFiles = Annotated[
    list[str] | None,
    typer.Option("--test", help="File(s) with test examples; split off from the other file(s) if absent. Repeatable."),
]
TextColumns = Annotated[
    list[str] | None,
    typer.Option("--text", help="Column with the text; twice for text pairs. Detected if absent."),
]
LabelColumns = Annotated[
    list[str] | None,
    typer.Option("--label", help="Column with the label; several for one 0/1 column per label. Detected if absent."),
]
MultiLabel = Annotated[bool, typer.Option("--multi-label", help="An example can have several labels, or none.")]
LabelSeparator = Annotated[
    str | None,
    typer.Option("--label-separator", metavar="MARK", help="Separator of labels in one cell. Detected if absent."),
]
LabelNames = Annotated[
    str | None,
    typer.Option("--labels", metavar="A,B,...", help="Label names in order, for 0/1 vectors or ordered labels."),
]
Languages = Annotated[
    str | None,
    typer.Option("--languages", metavar="FROM,TO", help="Languages, if the examples are translations, e.g. en,de."),
]
TaskName = Annotated[str | None, typer.Option("--task", help="Task of the recipe. Detected if absent.")]
Header = Annotated[
    str,
    typer.Option("--header", help="Header of CSV or TSV files: first (line), none, or column names: text,label."),
]
NoHeader = Annotated[bool, typer.Option("--no-header", help="The same as --header none.")]
Separator = Annotated[
    str | None, typer.Option("--separator", help="Character between columns (tab for a tab). Detected if absent.")
]
MaxBytes = Annotated[
    int | None, typer.Option("--max-bytes", help="Size that a compressed file may unpack to; 1 GB by default.")
]
Checkpoint = Annotated[str | None, typer.Option("--checkpoint", help="Pretrained weights to start from.")]
