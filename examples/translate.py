# %% [markdown]
# # Translate
#
# This notebook trains a translation model from random weights, scores it and translates a few phrases. It needs no
# network: `demo:translation` makes pairs of texts from the Python packages babel and num2words
# (`pip install 'kit[demo]'`).
#
# **This example is very small.** It has 500 pairs of one kind: English phrases such as "in 5 days" and their German
# translations. The model learns this pattern and nothing else: "in 1 hour" becomes "in 1 Stunden" (correct: "in 1
# Stunde"), because few training phrases have the number 1. For dates, numbers, amounts and lists of names, run
# `kit finetune recipes/translation-demo.yaml`. It trains on 9,000 pairs.
#
# ## Recipe
#
# - `data.where`: use only the rows of this kind of phrase.
# - `data.languages`: source language, then target language. Any two languages of CLDR work.
# - `method: scratch`: a small Transformer with random weights. To start from pretrained weights instead, use
#   `method: finetune` and set `model.checkpoint`.
# - `metric: chrf`: compare runs by chrF++, which counts characters and words. The default, BLEU, needs sequences of
#   four words. These phrases have three words, so their BLEU is 0.
# - `translation.vocabulary: 300`: the number of tokens for both languages together. Few phrases need few tokens.
# - `translation.beams: 1`: greedy decoding, the fastest search.
# - `train.refit: false`: do not train a second time with the validation pairs.

# %%
import kit

recipe = kit.Recipe(
    task="translation",
    method="scratch",
    metric="chrf",
    data={
        "source": "demo:translation",
        "where": {"kind": "relative"},
        "languages": ["en", "de"],
        "budget": 500,
        "max_length": 24,
    },
    translation={"vocabulary": 300, "beams": 1},
    train={"epochs": 8, "batch_size": 16, "dropout": 0, "evaluations": 1, "refit": False},
)

# %% [markdown]
# ## Train
#
# kit scores the translations of the test pairs with sacrebleu, with 95 % intervals. No phrase of the test pairs is a
# training phrase. Higher is better for chrF++, lower is better for TER. There are only 21 test pairs of this kind,
# too few to compare models.

# %%
record = kit.finetune(recipe, quiet=True)
for name, value in record.rows():
    print(f"{name:18} {value}")

# %% [markdown]
# ## Translate
#
# `kit.predict` yields one translation per text. `loops` is true if the translation repeats itself, `copied` if it
# equals the source text. The command is `kit predict runs/<id> "in 5 days"`.

# %%
phrases = ["in 5 days", "in 1 hour", "12 weeks ago", "30 seconds ago", "in 27 months"]
translations = list(kit.predict(record.folder, phrases))
for phrase, prediction in zip(phrases, translations, strict=True):
    print(f"{phrase:18} {prediction['translation']}")

# %% [markdown]
# The Record has the translations of all test pairs. On the left are the references.

# %%
stored = record.predictions()
for (reference,), output in list(zip(stored.labels, stored.outputs, strict=True))[:6]:
    print(f"{reference:40} {output}")
