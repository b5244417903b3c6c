"""TMX files."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.data.parallel_files import read_tmx
from kit.data.sources import load_splits
from kit.errors import DataError
from tests.support.parallel_text import DE, pairs_of, section

TMX = """<?xml version="1.0" encoding="utf-8"?>
<tmx version="1.4"><header srclang="en-US"/><body>
<tu><tuv xml:lang="en-US"><seg>a <bpt i="1"/>man<ept i="1"/>
   walks</seg></tuv><tuv xml:lang="de-DE"><seg>ein <hi>Mann</hi> geht</seg></tuv></tu>
<tu><tuv xml:lang="en-US"><seg>nobody translated this</seg></tuv><tuv xml:lang="fr"><seg>rien</seg></tuv></tu>
<tu><tuv lang="EN"><seg>children play</seg></tuv><tuv lang="de"><seg>Kinder spielen</seg></tuv></tu>
</body></tmx>
"""


def test_tmx_units_in_both_languages_are_read(tmp_path) -> None:
    path = tmp_path / "memory.tmx"
    path.write_text(TMX, "utf-8")
    assert pairs_of(section(path, test_size=1)) == [("a man walks", "ein Mann geht"), ("children play", DE[3])]
    with pytest.raises(DataError) as caught:
        load_splits(section(path, languages=["en", "it"]))
    assert caught.value.message == (
        f"data.source: {path} has no unit in both en and it (languages: de, de-de, en, en-us, fr)"
    )
    path.write_text(TMX[:-30], "utf-8")
    with pytest.raises(DataError, match=r"data.source: .*memory.tmx is not a valid TMX file: "):
        load_splits(section(path))


def test_tmx_text_excludes_markup_codes(tmp_path) -> None:
    """Markup codes are not text, but the text between them is, with or without an XML namespace."""
    unit = (
        '<tu><tuv xml:lang="en"><seg>Click <bpt i="1">&lt;b&gt;</bpt>here<ept i="1">&lt;/b&gt;</ept> <hi>now</hi></seg>'
        '</tuv><tuv xml:lang="de"><seg>Hier<ph>{0}</ph> klicken<it pos="end">&lt;/i&gt;</it></seg></tuv></tu>'
    )
    for space in ("", ' xmlns="http://www.lisa.org/tmx14"'):
        path = tmp_path / "memory.tmx"
        path.write_text(
            f'<?xml version="1.0"?><tmx version="1.4"{space}><header/><body>{unit * 2}</body></tmx>', "utf-8"
        )
        assert read_tmx(path, ("en", "de")).columns == {"en": ["Click here now"] * 2, "de": ["Hier klicken"] * 2}


def test_hostile_tmx_files_are_an_error(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
    laughs = f'<!DOCTYPE tmx [<!ENTITY e0 "ha">{entities}]><tmx><seg>&e9;</seg></tmx>'
    segment = "<x>" * 5_000 + "a" + "</x>" * 5_000
    deep = f'<tmx><tu><tuv lang="en"><seg>{segment}</seg></tuv></tu></tmx>'
    for content in (laughs, deep, '<?xml version="1.0" encoding="nonsense"?><tmx/>'):
        (tmp_path / "x.tmx").write_text(content)
        with pytest.raises(DataError, match=r"x\.tmx"):
            read_tmx(tmp_path / "x.tmx", ("en", "de"))
