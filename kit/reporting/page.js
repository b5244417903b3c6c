// Draws the charts, sorts and filters the tables. Data are never executed.
"use strict";
(() => {
  const { specs, light, dark } = JSON.parse(document.getElementById("charts").textContent);
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Map();
  let round = 0;

  // ---- charts

  function config(scheme, width) {
    const columns = Math.max(1, Math.min(3, Math.floor(width / 220)));
    const labelLimit = Math.floor((width - 80) / columns) - 36;
    const bottom = { ...scheme.legend.layout.bottom, direction: width < 640 ? "vertical" : "horizontal" };
    return { ...scheme, legend: { ...scheme.legend, columns, labelLimit, layout: { bottom } } };
  }

  async function draw(holder, drawing) {
    const width = Math.floor(holder.clientWidth);
    const scheme = prefersDark.matches ? "dark" : "light";
    const spec = {
      ...specs[holder.dataset.chart][holder.dataset.panel],
      width: width - 8,
      autosize: { type: "fit-x", contains: "padding" },
    };
    const result = await vegaEmbed(holder, spec, {
      mode: "vega-lite",
      renderer: "svg",
      actions: false,
      ast: true, // Vega interprets expressions, as the content security policy forbids eval
      defaultStyle: false,
      tooltip: { disableDefaultStyle: true },
      config: config(scheme === "dark" ? dark : light, width),
    });
    if (drawing !== round) return result.finalize();
    drawn.get(holder)?.finalize();
    drawn.set(holder, result);
    holder.dataset.scheme = scheme;
    holder.dataset.width = width;
  }

  async function drawAll() {
    const drawing = ++round;
    for (const holder of document.querySelectorAll("[data-chart]")) {
      if (drawing === round) await draw(holder, drawing);
    }
    if (drawing === round) document.documentElement.dataset.charts = "drawn";
  }

  let waiting = 0;
  function redrawSoon() {
    delete document.documentElement.dataset.charts;
    clearTimeout(waiting);
    waiting = setTimeout(drawAll, 150);
  }

  const PAPER = 680; // CSS pixels that fit on A4 and Letter

  function fitPaper() {
    for (const { view } of drawn.values()) view.width(PAPER).resize().run();
  }

  window.addEventListener("beforeprint", fitPaper);
  window.addEventListener("afterprint", redrawSoon);
  prefersDark.addEventListener("change", redrawSoon);
  window.addEventListener("resize", () => {
    const holders = [...document.querySelectorAll("[data-chart]")];
    if (holders.some((holder) => Number(holder.dataset.width) !== Math.floor(holder.clientWidth))) redrawSoon();
  });

  // ---- tables

  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

  function order(a, b, column, direction) {
    const [left, right] = [a.cells[column], b.cells[column]];
    const [x, y] = [left.dataset.key, right.dataset.key];
    if (x !== undefined && y !== undefined) return direction * (Number(x) - Number(y));
    if (x !== undefined || y !== undefined) return x === undefined ? 1 : -1; // rows without a value come last in both directions
    const [s, t] = [left.textContent, right.textContent];
    if ((s === "–") !== (t === "–")) return s === "–" ? 1 : -1;
    return direction * collator.compare(s, t);
  }

  function sort(button) {
    const header = button.closest("th");
    const body = button.closest("table").tBodies[0];
    const direction = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
    body.append(...[...body.rows].sort((a, b) => order(a, b, header.cellIndex, direction)));
  }

  function filter(input) {
    const rows = [...document.getElementById(input.dataset.filters).tBodies[0].rows];
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    const shown = rows.filter((row) => !row.hidden).length;
    const status = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
    document.getElementById(`${input.dataset.filters}-status`).textContent = status;
  }

  for (const button of document.querySelectorAll("button.sort")) button.addEventListener("click", () => sort(button));
  for (const input of document.querySelectorAll("[data-filters]")) {
    input.addEventListener("input", () => filter(input));
    if (input.value) filter(input); // the browser keeps the text when the page is reloaded
  }

  drawAll();
})();
