"""Accuracy of the defaults: BANKING77 at 5, 10 and all labels a class, Rotten Tomatoes with all labels.

Each row is `kit finetune` with a method and a budget and nothing else set, over several seeds of the budget;
the test examples are the same for all. TF-IDF stands beside every method.

    python benchmarks/accuracy.py --banking77 path/to/folder [--seeds 3] [--only banking77-5,...] [--methods probe,...]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import mean

os.environ.setdefault("HF_HUB_OFFLINE", "1")
RECIPES = Path(__file__).parents[1] / "recipes"
# name: recipe, budget (None is all), figure to reach, published figures beside it
TASKS = {
    "banking77-5": ("intent.yaml", 385, 80.5, "RoBERTa-base 74.0"),
    "banking77-10": ("intent.yaml", 770, 87.0, "RoBERTa-base 84.3"),
    "banking77-all": ("intent.yaml", None, 93.5, "DistilBERT 92.5"),
    "rotten-tomatoes-all": ("sentiment.yaml", None, 83.0, "DistilBERT 83.9-85.0"),
}
METHODS = ("tfidf", "probe", "lora", "finetune")


def main() -> None:
    """Run every task x method x seed that is asked for, continuing what a killed benchmark left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--banking77", type=Path, help="folder with BANKING77's train.csv and test.csv")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default=",".join(TASKS))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--runs", default=str(Path(tempfile.gettempdir()) / "kit-accuracy"))
    arguments = parser.parse_args()
    from kit.recipe import load_recipe
    from kit.runs.execute import finetune

    summary: dict[str, dict[str, float]] = {}
    print(f"{'task':22}{'method':10}{'accuracy':>9}   each seed              to reach   published")
    for name in arguments.only.split(","):
        recipe_file, budget, target, published = TASKS[name]
        if recipe_file == "intent.yaml" and arguments.banking77 is None:
            sys.exit(f"{name} needs --banking77 FOLDER")
        for method in arguments.methods.split(","):
            found = []
            for seed in range(arguments.seeds):
                overrides = [f"method={method}", f"train.seed={seed}", f"runs={arguments.runs}"]
                overrides.append(f"data.budget={'null' if budget is None else budget}")
                if recipe_file == "intent.yaml":
                    overrides.append(f"data.source={arguments.banking77}")
                record = finetune(load_recipe(RECIPES / recipe_file, overrides), quiet=True)
                found.append(100 * record.metrics["accuracy"].value)
            summary.setdefault(name, {})[method] = round(mean(found), 2)
            each = " ".join(f"{value:.1f}" for value in found)
            print(f"{name:22}{method:10}{mean(found):>9.1f}   {each:22}{target:>8}   {published}", flush=True)
    best = {name: max(methods, key=methods.__getitem__) for name, methods in summary.items()}
    reached = {name: summary[name][best[name]] >= TASKS[name][2] for name in summary}
    print(json.dumps({"accuracy": summary, "best": best, "reached": reached}))


if __name__ == "__main__":
    main()
