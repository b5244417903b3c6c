"""The report as one HTML file that needs no network.

The template escapes all text of users and programs. Only the two scripts and the styles, which are part of kit, are
inserted unescaped. As a second barrier, the content security policy of the page allows no script except these two, by
their sha256. Vega uses its interpreter, so the policy need not allow `eval`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.reporting import cost_tables, predictions, result_tables, study_tables
from kit.reporting.formatting import title
from kit.reporting.text_tables import Table
from kit.reporting.theme import DARK, FONT, LIGHT, Palette, vega_config
from kit.runtime.characters import plain

if TYPE_CHECKING:
    from kit.analysis.findings import Findings
    from kit.reporting.figures.figure import Figure

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Section:
    """Section of the page with tables or texts.

    Attributes:
        id: Id of the HTML element.
        heading: Heading.
        tables: Tables that are always visible.
        filtered: Tables whose rows can be sorted and filtered.
        blocks: Headings and texts to copy.
    """

    id: str
    heading: str
    tables: tuple[Table, ...] = ()
    filtered: tuple[Table, ...] = ()
    blocks: tuple[tuple[str, str], ...] = ()


def page(findings: Findings, figures: Sequence[Figure]) -> str:
    """Return the report as HTML; about 1 MB of it are the libraries that draw the figures."""
    specs = {figure.name: figure.specs() for figure in figures}
    scripts = (_vega(), _read("page.js"))
    html: str = _template().render(
        about=(
            plain(findings.task),
            title(findings.metric),
            f"{findings.test_examples:,} test examples",
            f"{len(findings.labels)} classes",
            plain(findings.created)[:16].replace("T", " "),
        ),
        study=plain(findings.study),
        answer=[plain(sentence) for sentence in findings.answer] or ["No cell has finished yet."],
        notes=[plain(note) for note in findings.notes],
        figures=figures,
        sections=[section for section in _sections(findings) if _has_content(section)],
        charts={"specs": specs, "light": vega_config(LIGHT), "dark": vega_config(DARK)},
        scripts=scripts,
        hashes=[_sha256(script) for script in scripts],
        styles="\n".join([_variables(LIGHT), _dark(_variables(DARK)), _read("page.css")]),
    )
    return html


def _sections(findings: Findings) -> Iterator[Section]:
    """Yield the sections of tables and texts in order."""
    metric = title(findings.metric)
    predicted = (predictions.ahead(findings), predictions.needed(findings), predictions.refusals(findings))
    yield Section(
        "means", f"{metric} by budget", tables=(result_tables.means(findings), *result_tables.other_means(findings))
    )
    yield Section("predictions", "Predictions for more labels", tables=predicted)
    yield Section("comparisons", "Comparisons", tables=(result_tables.comparisons(findings),))
    yield Section("sources", "Compression and distillation", tables=(result_tables.source_comparisons(findings),))
    yield Section("worth", "Value of pretraining", tables=(result_tables.pretraining_value(findings),))
    yield Section("cost", "Size and latency", tables=(cost_tables.ladder(findings), cost_tables.speeds(findings)))
    yield Section("choices", "All choices", filtered=(cost_tables.choices(findings),))
    yield Section("cells", "All cells", filtered=(study_tables.cells(findings),))
    yield Section("data", "Data and audit", tables=(study_tables.data(findings),))
    yield Section("environment", "Environment", tables=(study_tables.environment(findings),))
    blocks = (("Command", plain(findings.command)), ("Recipe", plain(findings.recipe)))
    yield Section("reproduce", "Reproduce", blocks=tuple((name, text) for name, text in blocks if text.strip()))


def _has_content(section: Section) -> bool:
    return bool(section.blocks or any((*section.tables, *section.filtered)))


@cache
def _vega() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    # Sequences that end the script element or hide its end occur only in strings, where a backslash changes nothing.
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
    """Return the text with a non-breaking space before percent signs."""
    return re.sub(r"(?<=\d) %", "\u00a0%", text)


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _variables(palette: Palette) -> str:
    """Return the colours of a palette as CSS variables."""
    colours = [f"--{entry.name}: {getattr(palette, entry.name)};" for entry in fields(palette) if entry.type == "str"]
    return f":root {{ --font: {FONT}; {' '.join(colours)} }}"


def _dark(rule: str) -> str:
    return f"@media screen and (prefers-color-scheme: dark) {{ {rule} }}"
