"""Common words: what tells two languages of one script apart.

For each language some of its most frequent words, by ISO 639-1 code. Of two languages only the words count that the
other's list does not have. It is a cue for whole texts, not for sentences, and says nothing of other languages.

Knows words. Knows nothing of pairs or files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

# What is common in several languages stands in the list of each, so that it tells none of them apart.
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
_TIMES = 3  # as many words of the one as of the other
_LEAST = 5  # of these words, below which nothing is said


def reads_like(texts: Iterable[str], language: str, other: str) -> bool | None:
    """Whether texts have the common words of a language rather than another's; None where they do not say.

    language, other: ISO 639-1 codes, of which words may not be known either.
    """
    if language not in _WORDS or other not in _WORDS:
        return None
    ours, theirs = set(_WORDS[language].split()), set(_WORDS[other].split())
    counts = Counter(word for text in texts for word in _WORD.findall(text.lower()))
    here, there = (sum(counts[word] for word in words) for words in (ours - theirs, theirs - ours))
    if max(here, there) < _LEAST or max(here, there) < _TIMES * min(here, there):
        return None
    return here > there
