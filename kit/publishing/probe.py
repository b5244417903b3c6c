"""Answers of an exported model in a process that has no kit: what users of the model will get.

Run as a program: `python probe.py JOB ANSWERS`, both JSON. Knows the public libraries that load the formats, and
nothing of kit, which it keeps from being imported.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_BATCH = 16  # of models whose answers do not depend on the texts beside them


def main(job_file: str, answers_file: str) -> None:
    """Answer the texts of a job: logits by text, in the order of the label names, and the token ids of each text."""
    job = json.loads(Path(job_file).read_text("utf-8"))
    if job["loader"] != "kit":
        sys.modules["kit"] = None  # type: ignore[assignment]
    answer = {"transformers": _transformers, "peft": _peft, "onnxruntime": _onnxruntime, "kit": _kit}[job["loader"]]
    Path(answers_file).write_text(json.dumps(answer(job)), "utf-8")


def _transformers(job: dict[str, Any]) -> dict[str, Any]:
    from transformers import pipeline

    return _through_pipeline(pipeline("text-classification", **job["arguments"]), job)


def _peft(job: dict[str, Any]) -> dict[str, Any]:
    from peft import AutoPeftModelForSequenceClassification
    from transformers import AutoTokenizer, pipeline

    folder = job["arguments"]["model"]
    labels = job["labels"]
    model = AutoPeftModelForSequenceClassification.from_pretrained(
        folder,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        ignore_mismatched_sizes=True,
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return _through_pipeline(pipeline("text-classification", model=model, tokenizer=tokenizer, truncation=True), job)


def _through_pipeline(pipe: Any, job: dict[str, Any]) -> dict[str, Any]:
    texts = [{"text": row[0], "text_pair": row[1]} if len(row) == 2 else row[0] for row in job["texts"]]
    found = pipe(texts, top_k=None, function_to_apply="none", batch_size=1 if job["alone"] else _BATCH)
    names = [pipe.model.config.id2label[index] for index in range(len(job["labels"]))]
    logits = [[{each["label"]: each["score"] for each in row}[name] for name in names] for row in found]
    tokens = [pipe.tokenizer(*row, truncation=True)["input_ids"] for row in job["texts"]]
    return {"labels": names, "logits": logits, "tokens": tokens}


def _onnxruntime(job: dict[str, Any]) -> dict[str, Any]:
    import numpy as np
    import onnxruntime
    from tokenizers import Tokenizer

    folder = Path(job["arguments"]["model"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(job["max_length"])
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    wanted = [each.name for each in session.get_inputs()]
    names = json.loads((folder / "config.json").read_text("utf-8"))["id2label"]
    logits, tokens = [], []
    for row in job["texts"]:
        encoded = tokenizer.encode(*row)
        inputs = {
            "input_ids": encoded.ids,
            "attention_mask": encoded.attention_mask,
            "token_type_ids": encoded.type_ids,
        }
        given = {name: np.array([inputs[name]], np.int64) for name in wanted}
        logits.append(session.run(["logits"], given)[0][0].tolist())
        tokens.append(encoded.ids)
    return {"labels": [names[str(index)] for index in range(len(names))], "logits": logits, "tokens": tokens}


def _kit(job: dict[str, Any]) -> dict[str, Any]:
    from kit.models.predictor import label_names, load_predictor

    folder = Path(job["arguments"]["model"])
    texts = [tuple(row) for row in job["texts"]]
    return {"labels": list(label_names(folder)), "logits": load_predictor(folder).outputs(texts).tolist()}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
