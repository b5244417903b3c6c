"""Language codes: the common language of de, de-DE, de_DE, deu and deu_Latn."""

from __future__ import annotations

import re

# Three-letter codes (ISO 639-3), as in NLLB, of languages that also have a two-letter code.
THREE = dict(
    pair.split(":")
    for pair in """
    af:afr am:amh ar:arb as:asm az:azj be:bel bg:bul bn:ben bs:bos ca:cat cs:ces cy:cym da:dan de:deu el:ell en:eng
    eo:epo es:spa et:est eu:eus fa:pes fi:fin fr:fra ga:gle gl:glg gu:guj he:heb hi:hin hr:hrv hu:hun hy:hye id:ind
    is:isl it:ita ja:jpn jv:jav ka:kat kk:kaz km:khm kn:kan ko:kor ky:kir lo:lao lt:lit lv:lvs mk:mkd ml:mal mn:khk
    mr:mar ms:zsm mt:mlt my:mya nb:nob ne:npi nl:nld nn:nno no:nob pa:pan pl:pol ps:pbt pt:por ro:ron ru:rus sd:snd
    si:sin sk:slk sl:slv so:som sq:als sr:srp sv:swe sw:swh ta:tam te:tel tg:tgk th:tha tl:tgl tr:tur uk:ukr ur:urd
    uz:uzn vi:vie xh:xho yo:yor zh:zho zu:zul
    """.split()  # noqa: SIM905
)
_TWO = {three: two for two, three in THREE.items()} | {"cmn": "zh", "nb": "no", "nob": "no"}

# English names of languages, for the prompts of T5 and the names of columns.
NAMES = {
    "en": "English", "de": "German", "fr": "French", "ro": "Romanian", "es": "Spanish", "it": "Italian", "nl": "Dutch",
    "pt": "Portuguese", "ru": "Russian", "zh": "Chinese", "ja": "Japanese", "pl": "Polish", "cs": "Czech",
}  # fmt: skip


def is_language(code: str) -> bool:
    """Return whether a code is of a language in `THREE`: `de`, `deu`, `de-AT`."""
    return primary(code) in THREE


def primary(language: str) -> str:
    """Return the language of a code, with two letters if it has a two-letter code: `de` for de-AT and deu_Latn."""
    first = re.split("[-_]", language.lower())[0]
    return _TWO.get(first, first)
