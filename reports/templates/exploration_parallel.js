"use strict";
// Parallel coordinates: a line for each valid point that the filter lets through, across its fields and objectives.
// Drawn as a scatter chart: Plotly's own kind compiles its shaders from text, which the page's policy forbids.
{
  const MOST_LINES = 1000;  // of a kind that a chart stays quick with
  const MOST_TICKS = 8;
  let shown = every;

  /** The values of a column from 0 to 1: by size, by the logarithm where they span much, texts by their order. */
  function scaleOf(name, rows) {
    const values = [...new Set(rows.map((row) => table[name][row]).filter((value) => value !== null))];
    if (values.length < 2) return null;
    if (values.some((value) => typeof value !== "number")) {
      const texts = values.map(String).sort();
      return { place: (value) => texts.indexOf(String(value)) / (texts.length - 1), marks: texts };
    }
    values.sort((a, b) => a - b);
    const [low, high] = [values[0], values[values.length - 1]];
    const log = low > 0 && high / low > 5;
    const size = (value) => (log ? Math.log10(value) : value);
    const flipped = Object.hasOwn(data.metrics, name) && !more(name);
    const place = (value) => {
      const at = (size(value) - size(low)) / (size(high) - size(low));
      return flipped ? 1 - at : at;
    };
    return { place, marks: values.length <= MOST_TICKS ? values : ticks(low, high, log) };
  }
  function lines(rows, scales, name, look) {
    const out = { type: "scatter", mode: "lines", name: safe(name), line: look, hovertemplate: "%{text}<extra></extra>", x: [], y: [], text: [], customdata: [] };
    for (const row of rows) {
      const text = hover(row);
      scales.forEach(([column, scale], i) => {
        const value = table[column][row];
        out.x.push(i);
        out.y.push(value === null ? null : scale.place(value));
        out.text.push(text);
        out.customdata.push(table.key[row]);
      });
      out.x.push(null);
      out.y.push(null);
      out.text.push("");
      out.customdata.push(null);
    }
    return out;
  }
  function draw() {
    const rows = every.filter((row) => here(row) && valid(row));
    const scales = ["machine", ...fields, ...judged].map((name) => [name, scaleOf(name, rows)]).filter(([, scale]) => scale !== null);
    const section = byId("parallel").closest("section");
    section.hidden = scales.length < 2;
    if (section.hidden) return;
    const visible = new Set(shown);
    const among = rows.filter((row) => visible.has(row));
    const others = thin(among.filter((row) => !onFront(row)), MOST_LINES);
    const traces = [
      lines(others, scales, "dominated", { width: 1, color: LIGHT + "70" }),
      lines(thin(among.filter(onFront), MOST_LINES), scales, "front", { width: 1.5, color: "#0072B2" }),
    ];
    const words = scales.flatMap(([name, scale], i) => scale.marks.map((mark) => ({
      x: i, y: scale.place(mark), text: safe(amount(name, mark, 4)), xanchor: "right", xshift: -4, showarrow: false, font: { size: 11, color: INK }, bgcolor: "rgba(255,255,255,0.75)",
    })));
    const shapes = scales.map((_, i) => ({ type: "line", layer: "below", x0: i, x1: i, y0: 0, y1: 1, line: { width: 1, color: "#8a94a0" } }));
    const titles = scales.map(([name]) => safe(Object.hasOwn(data.metrics, name) ? short(name) : plain(name)));
    Plotly.react(byId("parallel"), traces, layout(420, {
      shapes, annotations: words, dragmode: false, margin: { l: 70, r: 30, t: 40, b: 45 },
      xaxis: { tickmode: "array", tickvals: scales.map((_, i) => i), ticktext: titles, showgrid: false, zeroline: false, fixedrange: true, range: [-0.3, scales.length - 0.9] },
      yaxis: { visible: false, fixedrange: true, range: [-0.05, 1.05] },
    }), config).then((plot) => {
      if (plot.listening) return;
      plot.listening = true;
      plot.on("plotly_click", (event) => { location.hash = "point=" + event.points[0].customdata; });
    });
    byId("lines").textContent = among.length.toLocaleString("en") + " of " + rows.length.toLocaleString("en") + " valid points pass the filter below"
      + (among.length > others.length + among.filter(onFront).length ? "; for speed not all are drawn." : ".");
  }
  byId("fidelity").addEventListener("change", draw);
  document.addEventListener("filtered", (event) => {
    shown = event.detail;
    draw();
  });
}
