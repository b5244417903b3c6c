"""Predictions of an exported model in a process without kit, as users of the model get them.

Run as a program: `python standalone_check.py JOB PREDICTIONS`, both JSON files. It uses the public libraries that load
the formats and prevents kit from being imported, except for the format that only kit loads.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_BATCH_SIZE = 16  # for models whose predictions do not depend on the other texts of a batch


def main(job_file: str, predictions_file: str) -> None:
    """Predict the texts of a job and write the predictions.

    The predictions of a classifier are label names, logits in the order of these names and token ids per text; those of
    a translation model are translations.
    """
    job = json.loads(Path(job_file).read_text("utf-8"))
    if job["loader"] != "kit":
        sys.modules["kit"] = None  # type: ignore[assignment]
    predict = {
        "transformers": _transformers, "peft": _peft, "onnxruntime": _onnxruntime, "kit": _kit, "seq2seq": _seq2seq,
        "ctranslate2": _ctranslate2, "onnx-seq2seq": _onnx_seq2seq,
    }[job["loader"]]  # fmt: skip
    Path(predictions_file).write_text(json.dumps(predict(job)), "utf-8")


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
    outputs = pipe(texts, top_k=None, function_to_apply="none", batch_size=1 if job["alone"] else _BATCH_SIZE)
    names = [pipe.model.config.id2label[index] for index in range(len(job["labels"]))]
    logits = [[{score["label"]: score["score"] for score in row}[name] for name in names] for row in outputs]
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
    input_names = [node.name for node in session.get_inputs()]
    names = json.loads((folder / "config.json").read_text("utf-8"))["id2label"]
    logits, tokens = [], []
    for row in job["texts"]:
        encoded = tokenizer.encode(*row)
        values = {
            "input_ids": encoded.ids,
            "attention_mask": encoded.attention_mask,
            "token_type_ids": encoded.type_ids,
        }
        inputs = {name: np.array([values[name]], np.int64) for name in input_names}
        logits.append(session.run(["logits"], inputs)[0][0].tolist())
        tokens.append(encoded.ids)
    return {"labels": [names[str(index)] for index in range(len(names))], "logits": logits, "tokens": tokens}


def _seq2seq(job: dict[str, Any]) -> dict[str, Any]:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    arguments = job["arguments"]
    folder = arguments["model"]
    dtype = {"dtype": arguments["dtype"]} if "dtype" in arguments else {}
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, **dtype)
    source = AutoTokenizer.from_pretrained(folder)
    target = AutoTokenizer.from_pretrained(folder, subfolder="target") if arguments["target"] else source
    search = model.generation_config

    def translate(text: str) -> str:
        inputs = source(text, truncation=True, return_token_type_ids=False, return_tensors="pt")
        longest = min(int(search.length_ratio * inputs.input_ids.shape[1]) + 16, search.max_new_tokens)
        ids = model.generate(**inputs, max_new_tokens=longest)
        return str(target.decode(ids[0], skip_special_tokens=True)).strip()

    return _translations(translate, job)


def _ctranslate2(job: dict[str, Any]) -> dict[str, Any]:
    import ctranslate2
    from transformers import AutoTokenizer

    arguments = job["arguments"]
    folder = arguments["model"]
    translator, tokenizer = ctranslate2.Translator(folder, intra_threads=1), AutoTokenizer.from_pretrained(folder)
    search = json.loads(Path(folder, "generation_config.json").read_text("utf-8"))
    more = {"target_prefix": [[arguments["first"]]]} if arguments["first"] is not None else {}

    def translate(text: str) -> str:
        ids = tokenizer(text, truncation=True)["input_ids"]
        longest = min(int(search["length_ratio"] * len(ids)) + 16, search["max_new_tokens"])
        results = translator.translate_batch(
            [tokenizer.convert_ids_to_tokens(ids)],
            beam_size=search.get("num_beams", 1),
            length_penalty=search.get("length_penalty", 1.0),
            max_decoding_length=longest,
            min_decoding_length=0,
            max_input_length=0,
            suppress_sequences=arguments["suppress"] or None,
            **more,
        )
        written = tokenizer.convert_tokens_to_ids(results[0].hypotheses[0])
        return str(tokenizer.decode(written, skip_special_tokens=True)).strip()

    return _translations(translate, job)


def _onnx_seq2seq(job: dict[str, Any]) -> dict[str, Any]:
    """Translate by greedy decoding."""
    import numpy as np
    import onnxruntime
    from tokenizers import Tokenizer

    arguments = job["arguments"]
    folder = Path(arguments["model"])
    encoder, decoder = (
        onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), providers=["CPUExecutionProvider"])
        for name in ("encoder", "decoder")
    )
    source = Tokenizer.from_file(str(folder / "tokenizer.json"))
    target = Tokenizer.from_file(str(folder / "target" / "tokenizer.json")) if arguments["target"] else source
    source.no_padding()
    source.enable_truncation(job["max_length"])
    search = json.loads((folder / "generation_config.json").read_text("utf-8"))
    names = [node.name for node in encoder.get_outputs()]
    empty = {
        node.name: np.zeros((1, node.shape[1], 0, node.shape[3]), np.float32)
        for node in decoder.get_inputs()
        if node.name.startswith("past.")
    }

    def translate(text: str) -> str:
        ids = source.encode(text).ids
        mask = np.ones((1, len(ids)), np.int64)
        cross = dict(zip(names, encoder.run(None, {"input_ids": np.array([ids]), "attention_mask": mask}), strict=True))
        longest = min(int(search["length_ratio"] * len(ids)) + 16, search["max_new_tokens"])
        token, past, written = search["decoder_start_token_id"], dict(empty), []
        for position in range(longest):
            step = {"input_ids": np.array([[token]]), "attention_mask": mask}
            logits, *kept = decoder.run(None, {**step, **past, **cross})
            logits[0, arguments["suppress"]] = -np.inf
            forced = position == 0 and arguments["first"] is not None
            token = arguments["first"] if forced else int(logits[0].argmax())
            if token == search["eos_token_id"]:
                break
            written.append(token)
            past = dict(zip(past, kept, strict=True))
        return str(target.decode(written)).strip()

    return _translations(translate, job)


def _translations(translate: Callable[[str], str], job: dict[str, Any]) -> dict[str, Any]:
    """Translate the texts of a job; a blank text gives an empty translation, as in kit."""
    prefix = job["arguments"]["prefix"]
    lines = [translate(prefix + row[0]) if row[0].strip() else "" for row in job["texts"]]
    return {"labels": [], "translations": lines}


def _kit(job: dict[str, Any]) -> dict[str, Any]:
    """Predict with a TF-IDF model, without importing the slow libraries of the other models."""
    from kit.models.backends.tfidf import TfidfPredictor

    model = TfidfPredictor.load(Path(job["arguments"]["model"]))
    return {"labels": list(model.labels), "logits": model.outputs([tuple(row) for row in job["texts"]]).tolist()}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
