"""The page as text: order, structure and escaping. test_browser tests its behaviour."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from html.parser import HTMLParser

import pytest

from kit.analysis.findings import Findings
from tests.reporting.conftest import HOSTILE, page_of


class _Reader(HTMLParser):
    """Parser that collects elements with attributes, scripts, and the text of the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._raw = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._raw = tag if tag in ("script", "style") else ""
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._raw:
            self._raw = ""

    def handle_data(self, data: str) -> None:
        if self._raw == "script":
            self.scripts[-1] += data
        elif not self._raw:
            self.text += data


@pytest.fixture(scope="module")
def html(findings: Findings) -> str:
    return page_of(findings)


@pytest.fixture(scope="module")
def read(html: str) -> _Reader:
    return _Reader(html)


@pytest.fixture(scope="module")
def attacked(hostile: Findings) -> _Reader:
    return _Reader(page_of(hostile))


def test_sections_have_a_fixed_order(read: _Reader) -> None:
    sections = [attributes["id"] for tag, attributes in read.elements if tag == "section"]
    assert sections == [
        "answer", "notes", "curves", "heat-map", "frontier", "sizes", "means", "predictions", "comparisons", "worth",
        "cost", "choices", "cells", "data", "environment", "reproduce",
    ]  # fmt: skip
    links = [attributes["href"] for tag, attributes in read.elements if tag == "a"]
    assert links == ["#answer", *(f"#{section}" for section in sections)], "the skip link, and a link to each section"


def test_structure_is_accessible(read: _Reader) -> None:
    counts = Counter(tag for tag, _ in read.elements)
    assert counts["h1"] == counts["main"] == counts["nav"] == 1
    assert counts["caption"] == counts["table"] >= 12
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in read.elements if tag == "th")
    charts = [attributes for _, attributes in read.elements if "data-chart" in attributes]
    assert [chart["data-chart"] for chart in charts] == ["curves", "heat-map", "frontier", *["sizes"] * 4]
    assert all(chart["role"] == "img" and len(chart["aria-label"] or "") > 40 for chart in charts)
    assert counts["figcaption"] == counts["figure"] == 4
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in read.elements:
        for name in ("aria-labelledby", "for", "data-filters"):
            assert attributes.get(name) is None or attributes[name] in ids


def test_every_fact_is_on_the_page(read: _Reader, findings: Findings) -> None:
    text = re.sub(r"[\s\u00a0]+", " ", read.text)
    for expected in (
        *findings.answer,
        *findings.notes,
        findings.command,
        "OutOfMemory: needs 4 GB",
        "torch",
        "12, dropped",
    ):
        assert expected in text, expected
    for line in (comparison.line for comparison in findings.comparisons):
        assert line in text
    for series in findings.series:
        assert text.count(series.name) > 12
        assert series.refusal in text
    assert "more than 8" in text
    assert "4.31" in text
    assert text.count("failed to train: no better") >= 2


def test_page_loads_no_external_files(read: _Reader, html: str) -> None:
    for tag, attributes in read.elements:
        assert tag not in ("img", "iframe", "object", "embed", "base", "form")
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,")), (tag, attributes)
    styles = re.findall(r"<style>(.*?)</style>", html, flags=re.S)
    assert len(styles) == 1
    assert "url(" not in styles[0]
    assert "@import" not in styles[0]


def test_policy_allows_only_two_scripts(attacked: _Reader) -> None:
    policy = next(a["content"] for t, a in attacked.elements if t == "meta" and a.get("http-equiv"))
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in attacked.scripts[1:]]
    assert rules["script-src"].split() == [f"'sha256-{value}'" for value in hashes]
    assert len(hashes) == 2


def test_hostile_text_is_escaped(attacked: _Reader, read: _Reader) -> None:
    """The hostile page has the same kinds of elements as the usual page."""
    assert len(attacked.scripts) == len(read.scripts) == 3
    assert {tag for tag, _ in attacked.elements} == {tag for tag, _ in read.elements}
    assert not any(name.startswith("on") for _, attributes in attacked.elements for name in attributes)
    text = re.sub(r"\s+", " ", attacked.text)
    for name in (*HOSTILE[:12], "lone surrogate"):
        shown = re.sub(r"\s+", " ", name).replace("\u202e", "\ufffd")
        assert shown in text, name
    assert "{{7*7}}" in text
    assert "49" not in re.findall(r"\{\{.*?\}\}|\b49\b(?=\}\})", text)


def test_data_cannot_end_their_script_element(attacked: _Reader) -> None:
    data = attacked.scripts[0]
    assert not re.search(r"[<>&\u2028\u2029]", data)
    charts = json.loads(data)
    assert set(charts) == {"specs", "light", "dark"}
    assert any(name in json.dumps(charts["specs"], ensure_ascii=False) for name in HOSTILE[:2])
    for script in attacked.scripts[1:]:
        assert not re.search(r"</script|<!--", script, flags=re.I)


def test_page_is_little_larger_than_its_libraries(html: str) -> None:
    assert 0.9e6 < len(html.encode()) < 1.4e6


def test_page_of_a_small_study(bare: Findings, nothing: Findings) -> None:
    read = _Reader(page_of(bare))
    sections = [attributes["id"] for tag, attributes in read.elements if tag == "section"]
    assert sections == ["answer", "curves", "means", "predictions", "cost", "cells", "reproduce"]
    assert "one budget is no curve" in read.text
    empty = _Reader(page_of(nothing))
    assert "No cell has finished yet." in empty.text
    assert "OutOfMemory" in empty.text
