"""The page in a real browser: charts, sorting, filters, colour schemes, small screens and security policy."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

from kit.analysis.findings import Findings
from tests.reporting.conftest import HOSTILE, page_of

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed")

Driver = Any
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    home = tmp_path_factory.mktemp("home")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in (*OPTIONS, f"--user-data-dir={home / 'profile'}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(home)}
    service = webdriver.ChromeService(executable_path=DRIVER, env=environment)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def files(
    findings: Findings, hostile: Findings, many: Findings, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    paths = {}
    for name, study in (("usual", findings), ("hostile", hostile), ("many", many)):
        paths[name] = folder / f"{name}.html"
        paths[name].write_text(page_of(study), "utf-8")
    return paths


def _drawn(browser: Driver) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    script = "return document.documentElement.dataset.charts === 'drawn'"
    WebDriverWait(browser, 20, poll_frequency=0.05).until(lambda driver: driver.execute_script(script))


def _open(browser: Driver, path: Path, width: int = 1280, scheme: str = "light") -> None:
    browser.get_log("browser")
    browser.get_log("performance")
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    _prefer(browser, scheme)
    browser.get(path.as_uri())
    _drawn(browser)


def _prefer(browser: Driver, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def _quiet(browser: Driver) -> None:
    from selenium.common.exceptions import NoAlertPresentException

    assert browser.get_log("browser") == []
    assert browser.execute_script("return typeof window.pwned") == "undefined"
    with pytest.raises(NoAlertPresentException):
        _ = browser.switch_to.alert.text


def _column(browser: Driver, column: int) -> list[str]:
    script = (
        "return [...document.querySelectorAll('#cells tbody tr')].filter((row) => !row.hidden)"
        ".map((row) => row.cells[arguments[0]].textContent)"
    )
    return list(browser.execute_script(script, column))


def _contrast(browser: Driver, selector: str) -> float:
    """Return the WCAG contrast of an element's text with the first opaque background below it."""
    script = """
      let element = document.querySelector(arguments[0]);
      const colour = getComputedStyle(element).color;
      const ground = () => getComputedStyle(element).backgroundColor;
      while (ground() === "rgba(0, 0, 0, 0)") element = element.parentElement;
      return [colour, ground()];
    """
    luminances = []
    for colour in browser.execute_script(script, selector):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        luminances.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(luminances) + 0.05) / (min(luminances) + 0.05)


@pytest.mark.parametrize("kind", ["usual", "hostile"])
def test_charts_are_drawn_without_errors_and_network(browser: Driver, files: dict[str, Path], kind: str) -> None:
    _open(browser, files[kind])
    counts = browser.execute_script(
        "return [...document.querySelectorAll('[data-chart]')].map((e) => e.querySelectorAll('svg path').length)"
    )
    assert [count > 20 for count in counts] == [True] * 7, counts
    _quiet(browser)
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert files[kind].as_uri() in urls
    assert [url for url in urls if not url.startswith(("file://", "data:"))] == []


def test_hostile_names_are_shown_in_charts_and_tooltips(browser: Driver, files: dict[str, Path]) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    _open(browser, files["hostile"])
    legend = browser.execute_script("return document.querySelector('[data-chart=curves] svg').textContent")
    assert HOSTILE[0] in legend
    assert HOSTILE[7] in legend
    browser.execute_script("document.documentElement.style.scrollBehavior = 'auto'")
    marks = browser.find_elements("css selector", "[data-chart=curves] svg .mark-symbol.role-mark path")
    tooltip = ""
    for mark in marks[::-1]:
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", mark)
        ActionChains(browser, duration=0).move_to_element(mark).perform()
        tooltip = browser.execute_script("return document.getElementById('vg-tooltip-element')?.textContent ?? ''")
        if tooltip:
            break
    assert any(name in tooltip for name in HOSTILE[:8]), tooltip
    inside = "return document.querySelectorAll('#vg-tooltip-element :is(script, img)').length"
    assert browser.execute_script(inside) == 0
    assert browser.execute_script("return document.querySelectorAll('body img, svg image, svg a').length") == 0
    _quiet(browser)


def test_policy_stops_an_injected_script(browser: Driver, files: dict[str, Path]) -> None:
    _open(browser, files["usual"])
    script = "const s = document.createElement('script'); s.textContent = 'window.pwned = 1'; document.body.append(s);"
    browser.execute_script(script)
    assert browser.execute_script("return typeof window.pwned") == "undefined"
    assert "Content Security Policy" in browser.get_log("browser")[0]["message"]


def test_headers_sort_by_keyboard(browser: Driver, files: dict[str, Path]) -> None:
    from selenium.webdriver.common.keys import Keys

    _open(browser, files["usual"])
    before = _column(browser, 4)
    button = browser.find_elements("css selector", "#cells th button")[4]
    browser.execute_script("arguments[0].focus()", button)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    rising = _column(browser, 4)
    assert rising != before
    values = [float(text.split(" ")[0]) for text in rising[:-2]]
    assert values == sorted(values)
    assert rising[-2:] == ["–", "–"], "cells without a result stay last"
    browser.switch_to.active_element.send_keys(Keys.SPACE)
    falling = _column(browser, 4)
    assert [float(text.split(" ")[0]) for text in falling[:-2]] == values[::-1]
    assert falling[-2:] == ["–", "–"]
    ordered = "return [...document.querySelectorAll('#cells th[aria-sort]')].map((e) => e.ariaSort)"
    assert browser.execute_script(ordered) == ["descending"]


def test_filter_shows_rows_with_every_word(browser: Driver, files: dict[str, Path]) -> None:
    _open(browser, files["usual"])
    box = browser.find_element("css selector", "#cells input")
    box.send_keys("failed train")
    assert len(_column(browser, 0)) == 2
    status = browser.find_element("css selector", "#cells [role=status]")
    assert status.text == "2 of 74 rows"
    box.clear()
    box.send_keys("outofmemory")
    assert _column(browser, 3) == ["failed"]
    box.clear()
    box.send_keys("nothing like this")
    assert _column(browser, 0) == []
    assert status.text == "0 of 74 rows"


def test_page_follows_the_colour_scheme(browser: Driver, files: dict[str, Path]) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    _open(browser, files["usual"])
    label = "return document.querySelector('[data-chart=curves] svg .role-axis-title text').getAttribute('fill')"
    selectors = ("#answer p", "figcaption", "#means caption", "nav a", "td small", "#cells bdi.bad", "pre")
    light = browser.execute_script(label)
    assert min(_contrast(browser, selector) for selector in selectors) >= 4.5
    _prefer(browser, "dark")
    scheme = "return [...document.querySelectorAll('[data-chart]')].every((e) => e.dataset.scheme === 'dark')"
    WebDriverWait(browser, 20, poll_frequency=0.05).until(lambda driver: driver.execute_script(scheme))
    dark = browser.execute_script(label)
    assert int(light[1:3], 16) < 0x60
    assert int(dark[1:3], 16) > 0xA0
    assert min(_contrast(browser, selector) for selector in selectors) >= 4.5
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    _quiet(browser)


@pytest.mark.parametrize("kind", ["usual", "hostile", "many"])
def test_page_does_not_scroll_sideways_on_a_phone(browser: Driver, files: dict[str, Path], kind: str) -> None:
    _open(browser, files[kind], width=360)
    assert browser.execute_script("return document.scrollingElement.scrollWidth") <= 360
    assert browser.execute_script("return document.documentElement.clientWidth") == 360
    right = "(e) => e.getBoundingClientRect().right"
    widest = f"return Math.max(...[...document.querySelectorAll('svg, svg text')].map({right}))"
    assert browser.execute_script(widest) <= 360
    wide = "return [...document.querySelectorAll('.scroll')].some((e) => e.scrollWidth > e.clientWidth)"
    assert browser.execute_script(wide), "wide tables scroll inside their own box"
    _quiet(browser)


def test_charts_follow_the_width(browser: Driver, files: dict[str, Path]) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    _open(browser, files["usual"])
    width = "return Number(document.querySelector('[data-chart=curves] svg').getAttribute('width'))"
    wide = browser.execute_script(width)
    metrics = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    WebDriverWait(browser, 20, poll_frequency=0.05).until(lambda driver: driver.execute_script(width) < 400)
    assert wide > 700


@pytest.mark.parametrize("width", [1200, 1300, 1400])
def test_tables_fit_their_container_on_a_laptop(browser: Driver, files: dict[str, Path], width: int) -> None:
    _open(browser, files["usual"], width=width)
    script = (
        "return [...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth)"
        ".map((box) => box.querySelector('table').id)"
    )
    assert browser.execute_script(script) == []


@pytest.mark.parametrize("width", [400, 1400])
def test_text_of_40_series_is_large_and_uncovered(browser: Driver, files: dict[str, Path], width: int) -> None:
    _open(browser, files["many"], width=width)
    sizes = "return [...document.querySelectorAll('svg text')].map((e) => parseFloat(getComputedStyle(e).fontSize))"
    assert min(browser.execute_script(sizes)) >= 11
    covered = """
      const covered = [];
      for (const svg of document.querySelectorAll("[data-chart=curves] svg, [data-chart=compression] svg")) {
        const boxes = [...svg.querySelectorAll("text")]
          .filter((e) => e.textContent && e.getAttribute("opacity") !== "0")
          .map((e) => [e.textContent, e.getBoundingClientRect()]);
        for (const [i, [text, a]] of boxes.entries())
          for (const [other, b] of boxes.slice(i + 1))
            if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3)
              covered.push([text, other]);
      }
      return covered;
    """
    assert browser.execute_script(covered) == []


def test_charts_fit_the_paper_when_printed(browser: Driver, files: dict[str, Path]) -> None:
    _open(browser, files["many"], width=1400)
    widths = "return [...document.querySelectorAll('svg')].map((e) => Number(e.getAttribute('width')))"
    assert max(browser.execute_script(widths)) > 700
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert max(browser.execute_script(widths)) <= 690
