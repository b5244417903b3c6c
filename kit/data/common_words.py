"""Common words, which distinguish languages that share a script.

The method is for whole texts, not single sentences, and for the listed languages only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

# Frequent words by ISO 639-1 code. A word that several languages share must be in the list of each, because a word
# counts for a language only if the other language's list lacks it.
_WORDS = {
    "en": "the of and to a in is are was with on for that his her this they at by be have no do as an i",
    "de": "der die das und ist sind mit auf in an ein eine einem einer nicht von für den dem des zu sich was er",
    "fr": "le la les des de et est sont une un dans avec sur pour qui que du il elle pas au en a se on ne je",
    "es": "el la los las de y es son una un con en por para que del su se no como al a e o",
    "it": "il lo la gli le i di e è sono una un con per che del della nel si non come al in a o se ne no",
    "pt": "o os a as e é são uma um com em por para que do da de na no se não ao",
    "nl": "de het een en is zijn met op van voor dat niet te in zich aan die ook door naar was om er",
    "sv": "och är en ett med på som för det av inte i till den att har de sig om från var",
    "da": "og er en et med på som for det af ikke i til den at har de sig om fra var op",
    "no": "og er en et med på som for det av ikke i til den å har de seg om fra var",
    "pl": "i w na z jest są nie się do że to od przez dla po jak oraz które a o",
    "cs": "a v na s z je jsou ne se do že to od pro po jak který ve jejich i o",
    "ro": "și în pe cu de este sunt nu se la că din pentru un o care au fi lui mai a al e",
    "hu": "a az és egy van nem hogy is meg ez de el vagy mint csak minden volt ki fel azt",
    "fi": "ja on ei se että ovat hän oli mutta kun tai niin myös joka kuin sen ole mukaan kanssa jos",
    "tr": "ve bir bu ile için da de olan olarak çok daha gibi ne ama kadar sonra en o her var",
}
LANGUAGES = tuple(_WORDS)
_WORD = re.compile(r"[^\W\d_]+")
_MIN_RATIO = 3  # of the words of one language to those of the other
_MIN_WORDS = 5  # common words below which the language is undecided


def reads_like(texts: Iterable[str], language: str, other: str) -> bool | None:
    """Return whether texts have the common words of `language` rather than of `other`.

    Args:
        texts: Texts in one language.
        language: ISO 639-1 code.
        other: ISO 639-1 code.

    Returns:
        None if the texts have too few common words of either language, or a language is not in `LANGUAGES`.
    """
    if language not in _WORDS or other not in _WORDS:
        return None
    words, other_words = set(_WORDS[language].split()), set(_WORDS[other].split())
    counts = Counter(word for text in texts for word in _WORD.findall(text.lower()))
    count, other_count = (sum(counts[word] for word in own) for own in (words - other_words, other_words - words))
    if max(count, other_count) < max(_MIN_WORDS, _MIN_RATIO * min(count, other_count)):
        return None
    return count > other_count
