"""Page: the report as one HTML file that opens anywhere, with no network.

Knows findings, facts, charts and the template. Knows nothing of how the findings came about.

Everything that people or programs wrote is escaped by the template; only the two scripts and the styles, which are part
of the program, are put in as they are. Should something slip through all the same, the page's content security policy
runs no script but those two, which it knows by their sha256. Vega computes with its interpreter, so the policy need not
allow `eval`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.reporting import predictions
from kit.reporting import study_tables as facts
from kit.reporting.formatting import plain, title
from kit.reporting.theme import DARK, FONT, LIGHT, Palette, vega_config

if TYPE_CHECKING:
    from kit.analysis.findings import Findings

_HERE = Path(__file__).parent
_CURVES = (
    "Marks are means over seeds, with their 95 % interval; faint dots are single seeds, crosses are seeds that failed "
    "to train. Lines are fitted learning curves with 95 % bands, dotted where they predict: at most 8 times the "
    "largest budget. A method without a fitted curve has its means connected. Methods are set slightly apart sideways. "
    "▲ and ▼ mark intervals that go on beyond the axis."
)
_SIZES = (
    "Each line is one method at one number of labels, over the sizes of its checkpoints. Bars are 95 % intervals; "
    "▲ and ▼ mark those that go on beyond the axis."
)
_FRONTIER = (
    "Filled: no other choice is at least as good in metric, latency, size and labels. Dashed stairs: the best "
    "metric within each latency. Larger dots: more labels, or with one budget a larger model. Bars: 95 % intervals; "
    "▲ and ▼ mark those that go on beyond the axis."
)


@dataclass(frozen=True)
class Section:
    """A part of the page.

    chart: name of its chart, if it has one. hidden: tables that are the chart's numbers, folded away below it.
    filtered: tables whose rows can be sorted and filtered. blocks: (heading, text) to be copied.
    """

    id: str
    heading: str
    intro: str = ""
    chart: str = ""
    hidden: tuple[facts.Table, ...] = ()
    tables: tuple[facts.Table, ...] = ()
    filtered: tuple[facts.Table, ...] = ()
    blocks: tuple[tuple[str, str], ...] = ()


def page(findings: Findings) -> str:
    """The whole report as HTML, about 1 MB of which are the libraries that draw its charts."""
    from kit.reporting.charts import all_charts

    specs = {name: chart.to_dict() for name, chart in all_charts(findings).items()}
    scripts = (_vega(), _read("page.js"))
    html: str = _template().render(
        about=(
            plain(findings.task),
            title(findings.metric),
            f"{findings.test_examples:,} test examples",
            f"{len(findings.labels)} classes",
            plain(findings.created),
        ),
        study=plain(findings.study),
        answer=[plain(sentence) for sentence in findings.answer] or ["No cell has finished yet."],
        notes=[plain(note) for note in findings.notes],
        sections=[section for section in _sections(findings, set(specs)) if _has_content(section)],
        described={name: spec["description"] for name, spec in specs.items()},
        charts={"specs": specs, "light": vega_config(LIGHT), "dark": vega_config(DARK)},
        scripts=scripts,
        hashes=[_sha256(script) for script in scripts],
        styles="\n".join([_variables(LIGHT), _dark(_variables(DARK)), _read("page.css")]),
    )
    return html


def _sections(findings: Findings, drawn: set[str]) -> Iterator[Section]:
    """The parts of the page, in the order in which people read them."""
    metric = title(findings.metric)
    more = tuple(t for t in (predictions.ahead(findings), predictions.needed(findings)) if t)
    yield _figure("curves", "Learning curves", _CURVES, drawn, facts.seeds(findings))
    yield Section("means", f"{metric} by budget", tables=(facts.means(findings), *facts.other_means(findings)))
    yield Section("predictions", "More labels", tables=(*more, predictions.refusals(findings)))
    yield Section("comparisons", "Comparisons", tables=(facts.comparisons(findings),))
    yield Section("worth", "What pretraining is worth", tables=(facts.worth(findings),))
    if "sizes" in drawn:
        yield _figure("sizes", "Size ladder", _SIZES, drawn, facts.ladder(findings))
    if "frontier" in drawn:
        yield _figure("frontier", "Frontier", _FRONTIER, drawn, facts.choices(findings), facts.speeds(findings))
    else:
        yield Section("frontier", "Cost", tables=(facts.choices(findings),))
    yield Section("cells", "All cells", filtered=(facts.cells(findings),))
    yield Section("data", "Data and audit", tables=(facts.data(findings),))
    yield Section("environment", "Environment", tables=(facts.environment(findings),))
    blocks = (("Command", plain(findings.command)), ("Recipe", plain(findings.recipe)))
    yield Section("reproduce", "Reproduce", blocks=tuple((name, text) for name, text in blocks if text.strip()))


def _figure(name: str, heading: str, intro: str, drawn: set[str], *numbers: facts.Table) -> Section:
    """A chart with its numbers below it."""
    return Section(name, heading, intro, chart=name if name in drawn else "", hidden=numbers)


def _has_content(section: Section) -> bool:
    return bool(section.chart or section.blocks or any((*section.hidden, *section.tables, *section.filtered)))


@cache
def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    # What would end the script element, or hide its end, can only be inside strings; there a backslash changes nothing.
    return bundle.replace("\r", "").replace("</script", "<\\/script").replace("<!--", "<\\!--")


@cache
def _template() -> Any:
    import jinja2

    loader = jinja2.FileSystemLoader(_HERE)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["unbroken"] = _unbroken
    return environment.get_template("page.html.jinja")


@cache
def _read(name: str) -> str:
    return (_HERE / name).read_text("utf-8")


def _unbroken(text: str) -> str:
    """No line break between a number and its percent sign."""
    return re.sub(r"(?<=\d) %", "\u00a0%", text)


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _variables(palette: Palette) -> str:
    """A palette as CSS variables."""
    colours = [f"--{each.name}: {getattr(palette, each.name)};" for each in fields(palette) if each.type == "str"]
    return f":root {{ --font: {FONT}; {' '.join(colours)} }}"


def _dark(rule: str) -> str:
    return f"@media screen and (prefers-color-scheme: dark) {{ {rule} }}"
