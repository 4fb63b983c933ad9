"use strict";
// What the charts share: how they look, whole numbers for their axes, what is said of a point under the mouse.
const INK = "#1d2733", GREY = "#b4bcc5", LIGHT = "#8fb8d6";
const config = { displayModeBar: false, responsive: true, doubleClick: "reset" };
const line = { showline: true, linecolor: "#8a94a0", gridcolor: "#e4e8ec", zeroline: false, automargin: true };
const axis = (title, about) => Object.assign({ title: { text: title } }, line, about);
function layout(height, about) {
  return Object.assign({
    height, margin: { l: 10, r: 20, t: 40, b: 45 },
    font: { family: "system-ui, -apple-system, 'Segoe UI', sans-serif", size: 13, color: INK },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hoverlabel: { align: "left", namelength: -1, bgcolor: "#fff", bordercolor: "#8a94a0", font: { color: INK } },
    hovermode: "closest", dragmode: "zoom",
    legend: { orientation: "h", x: 0, y: 1, xanchor: "left", yanchor: "bottom" },
  }, about);
}

const fidelity = () => byId("fidelity").value;
const here = (row) => table.fidelity[row] === fidelity();
/** So many of the rows at most, at even distances. */
function thin(rows, most) {
  const step = Math.ceil(rows.length / most);
  return step > 1 ? rows.filter((row, i) => i % step === 0) : rows;
}
/** Round numbers from low to high: 1, 2, 5 and their tens on a logarithmic axis, equal steps on a linear one. */
function ticks(low, high, log) {
  const out = [];
  const decades = Math.log10(high / low);
  if (log && decades > 0.7) {
    const parts = decades < 1.5 ? [1, 2, 3, 5, 7] : decades < 3.5 ? [1, 2, 5] : [1];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
      for (const part of parts) out.push(Number((part * 10 ** power).toPrecision(3)));
    }
  } else if (high > low) {
    const least = 10 ** Math.floor(Math.log10((high - low) / 4));
    const step = [5, 2, 1].map((part) => part * least).find((size) => (high - low) / size >= 3) || least;
    for (let n = Math.ceil(low / step); n * step <= high; n += 1) out.push(Number((n * step).toPrecision(12)));
  }
  return out.filter((value) => value >= low && value <= high);
}
function labelled(name, range, log) {
  const [low, high] = log ? range.map((power) => 10 ** power) : range;
  const at = ticks(Math.min(low, high), Math.max(low, high), log);
  return { tickmode: "array", tickvals: at, ticktext: at.map((value) => amount(name, value, 6)) };
}
/** What is said of a point: its design, these metrics and the objectives, its bottleneck, why it is not valid. */
function hover(row, shown = []) {
  const lines = [table.machine[row], ...settings(row).map(([name, value]) => name + " = " + value), ...new Set([...shown, ...judged])]
    .map((text, i, all) => (i < all.length && Object.hasOwn(data.metrics, text) ? short(text) + ": " + amount(text, table[text][row]) : text));
  if (table.bottleneck[row]) lines.push("bottleneck: " + table.bottleneck[row]);
  if (!valid(row)) lines.push(table.reason[row]);
  return lines.map(safe).join("<br>");
}
