"""Parts of a model card for translation: summary, code examples, sacrebleu signatures and limits."""

from __future__ import annotations

from typing import Any

from kit.records.record import Record
from kit.reporting.markdown import span


def summary(record: Record) -> str:
    """Return the first sentence of the card."""
    source, target = record.recipe.data.language_pair
    return f"Translates a text from {span(source)} to {span(target)}."


def signature_lines(record: Record) -> list[str]:
    """Return the signatures of sacrebleu, without which scores cannot be compared."""
    signatures = record.content["details"]["signatures"]
    return [f"- {name}: `{signature}`" for name, signature in signatures.items()]


def limits(record: Record) -> list[str]:
    """Return the limits of a translation model, with the number of failed translations of test texts."""
    details, count = record.content["details"], record.content["data"]["sizes"]["test"]
    lines = ["The model translates one or a few sentences at a time, without the sentences before them."]
    for key, words in (("loops", "repeat themselves without end"), ("empty", "are empty")):
        if details.get(key):
            lines.append(f"{details[key]:,} of {count:,} translations of the test texts {words}.")
    return lines


def with_seq2seq(place: str, arguments: dict[str, Any]) -> str:
    """Return Python code that translates a text with transformers."""
    dtype = f', dtype="{arguments["dtype"]}"' if "dtype" in arguments else ""
    target = f'AutoTokenizer.from_pretrained("{place}", subfolder="target")' if arguments["target"] else "source"
    return (
        "from transformers import AutoModelForSeq2SeqLM, AutoTokenizer\n"
        f'model = AutoModelForSeq2SeqLM.from_pretrained("{place}"{dtype})\n'
        f'source = AutoTokenizer.from_pretrained("{place}")\n'
        f"target = {target}\n"
        f"inputs = source({arguments['prefix'] + 'A text.'!r}, truncation=True, return_token_type_ids=False, "
        'return_tensors="pt")\n'
        "search = model.generation_config\n"
        "longest = min(int(search.length_ratio * inputs.input_ids.shape[1]) + 16, search.max_new_tokens)\n"
        "ids = model.generate(**inputs, max_new_tokens=longest)\n"
        "print(target.decode(ids[0], skip_special_tokens=True).strip())"
    )


def with_ctranslate2(downloaded: str, arguments: dict[str, Any]) -> str:
    """Return Python code that translates a text with CTranslate2.

    Args:
        downloaded: Code that sets `folder`.
        arguments: `prefix` of the source text, `first` token of the translation, token sequences to `suppress`.
    """
    more = ""
    if arguments["first"] is not None:
        more += f", target_prefix=[[{arguments['first']!r}]]"
    if arguments["suppress"]:
        more += f", suppress_sequences={arguments['suppress']!r}"
    return (
        "import json, ctranslate2\n"
        "from transformers import AutoTokenizer\n"
        f"{downloaded}\n"
        "translator = ctranslate2.Translator(folder, intra_threads=1)\n"
        "tokenizer = AutoTokenizer.from_pretrained(folder)\n"
        'search = json.load(open(f"{folder}/generation_config.json"))\n'
        f'ids = tokenizer({arguments["prefix"] + "A text."!r}, truncation=True)["input_ids"]\n'
        'longest = min(int(search["length_ratio"] * len(ids)) + 16, search["max_new_tokens"])\n'
        "results = translator.translate_batch(\n"
        '    [tokenizer.convert_ids_to_tokens(ids)], beam_size=search.get("num_beams", 1),\n'
        '    length_penalty=search.get("length_penalty", 1.0), max_decoding_length=longest, min_decoding_length=0,\n'
        f"    max_input_length=0{more})\n"
        "ids = tokenizer.convert_tokens_to_ids(results[0].hypotheses[0])\n"
        "print(tokenizer.decode(ids, skip_special_tokens=True).strip())"
    )


def with_onnx_seq2seq(downloaded: str, arguments: dict[str, Any], max_length: int) -> str:
    """Return Python code that translates a text with ONNX Runtime, by greedy decoding.

    Args:
        downloaded: Code that sets `folder`.
        arguments: `prefix` of the source text, `first` token of the translation, ids of tokens to `suppress`, and
            whether the `target` has its own tokenizer.
        max_length: Tokens to which the source text is truncated.
    """
    target = 'Tokenizer.from_file(f"{folder}/target/tokenizer.json")' if arguments["target"] else "source"
    suppressed = f"    logits[0, {arguments['suppress']!r}] = -np.inf\n" if arguments["suppress"] else ""
    best_token = "int(logits[0].argmax())"
    if arguments["first"] is not None:
        best_token += f" if written else {arguments['first']}"
    return (
        "import json, numpy as np, onnxruntime\n"
        "from tokenizers import Tokenizer\n"
        f"{downloaded}\n"
        'encoder = onnxruntime.InferenceSession(f"{folder}/encoder.onnx")\n'
        'decoder = onnxruntime.InferenceSession(f"{folder}/decoder.onnx")\n'
        'source = Tokenizer.from_file(f"{folder}/tokenizer.json")\n'
        f"target = {target}\n"
        f"source.no_padding(); source.enable_truncation({max_length})\n"
        'search = json.load(open(f"{folder}/generation_config.json"))\n'
        f"ids = source.encode({arguments['prefix'] + 'A text.'!r}).ids\n"
        "mask = np.ones((1, len(ids)), np.int64)\n"
        'encoded = encoder.run(None, {"input_ids": np.array([ids]), "attention_mask": mask})\n'
        "cross = dict(zip([node.name for node in encoder.get_outputs()], encoded))\n"
        "past = {node.name: np.zeros((1, node.shape[1], 0, node.shape[3]), np.float32)\n"
        '        for node in decoder.get_inputs() if node.name.startswith("past.")}\n'
        'token, written = search["decoder_start_token_id"], []\n'
        'longest = min(int(search["length_ratio"] * len(ids)) + 16, search["max_new_tokens"])\n'
        "while len(written) < longest:  # greedy decoding\n"
        '    step = {"input_ids": np.array([[token]]), "attention_mask": mask, **past, **cross}\n'
        "    logits, *kept = decoder.run(None, step)\n"
        f"{suppressed}"
        f"    token = {best_token}\n"
        '    if token == search["eos_token_id"]:\n'
        "        break\n"
        "    written.append(token)\n"
        "    past = dict(zip(past, kept))\n"
        "print(target.decode(written).strip())"
    )
