"use strict";
// The charts: the front in two metrics, what decides, where cycles go, how searches came to it.
{
  const MOST_DRAWN = 4000;  // points of a kind that a chart stays quick with
  const fidelities = [...new Set(table.fidelity)];
  function choice(id, values, chosen, text, react) {
    for (const value of values) {
      const option = element("option", text(value));
      option.value = value;
      byId(id).append(option);
    }
    byId(id).value = chosen;
    byId(id).addEventListener("change", react);
  }
  const metrics = [...judged, ...measured.filter((name) => !judged.includes(name))];
  const full = (name) => (short(name) === name ? name : short(name) + " (" + name + ")");
  byId("front").closest("section").hidden = !metrics.length;
  choice("across", metrics, judged[0] || metrics[0], full, drawFront);
  choice("up", metrics, judged[1] || metrics.find((name) => name !== judged[0]) || metrics[0], full, drawFront);
  choice("fidelity", fidelities, fidelities.find((name) => every.some((row) => table.fidelity[row] === name && onFront(row))) || fidelities[0], (name) => name, drawAll);
  byId("fidelity").parentElement.hidden = fidelities.length < 2;
  byId("colours").addEventListener("change", drawFront);
  byId("everything").addEventListener("change", drawFront);

  const classes = new Map();
  for (const row of every) if (valid(row) && table.bottleneck[row]) classes.set(table.bottleneck[row], (classes.get(table.bottleneck[row]) || 0) + 1);
  const byCount = [...classes.keys()].sort((a, b) => classes.get(b) - classes.get(a) || (a < b ? -1 : 1));
  const colourOf = (name) => data.palette[byCount.indexOf(name) % data.palette.length] || GREY;

  // The front.
  function trace(rows, x, y, name, marker, about) {
    return Object.assign({
      type: "scatter", mode: "markers", name: safe(name), marker, hovertemplate: "%{text}<extra></extra>",
      x: rows.map((row) => table[x][row]), y: rows.map((row) => table[y][row]),
      customdata: rows.map((row) => table.key[row]), text: rows.map((row) => hover(row, [x, y])),
    }, about);
  }
  /** The rows that no other is better than in these two, along the first. */
  function frontOf(rows, x, y) {
    const sign = (name) => (more(name) ? -1 : 1);
    const sorted = [...rows].sort((a, b) => sign(x) * (table[x][a] - table[x][b]) || sign(y) * (table[y][a] - table[y][b]));
    const kept = [];
    for (const row of sorted) {
      const last = kept[kept.length - 1];
      if (last === undefined || sign(y) * (table[y][row] - table[y][last]) < 0 || (table[y][row] === table[y][last] && table[x][row] === table[x][last])) kept.push(row);
    }
    return kept.sort((a, b) => table[x][a] - table[x][b]);
  }
  function scale(name, rows, seen) {
    const all = rows.map((row) => table[name][row]);
    const sizes = seen.length ? seen.map((row) => table[name][row]) : all;
    const [low, high] = [sizes.reduce((a, b) => Math.min(a, b)), sizes.reduce((a, b) => Math.max(a, b))];
    const log = all.every((value) => value > 0) && high / low > 5;
    const [from, to] = log ? [Math.log10(low), Math.log10(high)] : [low, high];
    const room = 0.05 * (to - from) || 0.05 * Math.abs(to) || 1;
    return { type: log ? "log" : "linear", range: [from - room, to + room] };
  }
  const directed = (name) => safe(short(name)) + (more(name) ? " (more is better)" : " (less is better)");

  function drawFront() {
    const x = byId("across").value, y = byId("up").value;
    const known = x && y ? every.filter((row) => here(row) && table[x][row] !== null && table[y][row] !== null) : [];
    byId("front").hidden = !known.length;
    byId("thinned").textContent = known.length ? "" : "No point of this fidelity has both.";
    if (!known.length) return;
    const good = known.filter(valid);
    const joined = frontOf(good, x, y);
    const strong = new Set(joined);
    const whole = good.filter((row) => onFront(row) && !strong.has(row));
    const others = good.filter((row) => !onFront(row) && !strong.has(row));
    const broken = known.filter((row) => !valid(row));
    const pair = judged.length === 2 && judged.includes(x) && judged.includes(y);
    const steps = { mode: "lines", hoverinfo: "skip", hovertemplate: undefined, line: { shape: more(x) ? "vh" : "hv", width: 1.5, color: "#0072B2" } };
    const traces = [trace(thin(broken, MOST_DRAWN), x, y, "breaks a constraint", { size: 6, color: GREY, symbol: "x-thin", line: { width: 1, color: GREY } })];
    const name = pair ? "front" : "front of these two";
    if (byId("colours").value === "bottleneck") {
      traces.push(trace(joined, x, y, name, {}, Object.assign({}, steps, { line: Object.assign({}, steps.line, { color: INK, width: 1 }) })));
      for (const kind of [...byCount, ""]) {
        const own = (rows) => rows.filter((row) => table.bottleneck[row] === kind);
        const about = { legendgroup: "b" + kind };
        traces.push(trace(own(thin([...others, ...whole], MOST_DRAWN)), x, y, kind || "not known", { size: 6, color: colourOf(kind), opacity: 0.55 }, about));
        traces.push(trace(own(joined), x, y, kind || "not known", { size: 10, color: colourOf(kind), line: { width: 1.2, color: INK } }, Object.assign({ showlegend: false }, about)));
      }
    } else {
      traces.push(trace(thin(others, MOST_DRAWN), x, y, "dominated", { size: 6, color: LIGHT, opacity: 0.75 }));
      traces.push(trace(whole, x, y, judged.length === 1 ? "best in " + short(judged[0]) : "front of all " + judged.length, { size: 7, color: "#fff", line: { width: 1.5, color: "#0072B2" } }));
      traces.push(trace(joined, x, y, name, { size: 9, color: "#0072B2" }, { mode: "lines+markers", line: steps.line }));
    }
    const seen = byId("everything").checked ? known : good;
    const axes = {};
    for (const [key, metric] of [["xaxis", x], ["yaxis", y]]) {
      const about = scale(metric, known, seen);
      axes[key] = axis(directed(metric), Object.assign(about, labelled(metric, about.range, about.type === "log")));
    }
    const left = [others, broken].reduce((sum, rows) => sum + rows.length - thin(rows, MOST_DRAWN).length, 0);
    if (left) byId("thinned").textContent = "For speed " + left.toLocaleString("en") + " points off the front are not drawn; the table has them.";
    Plotly.react(byId("front"), traces.filter((one) => one.x.length), layout(500, axes), config).then((plot) => {
      if (plot.listening) return;
      plot.listening = true;
      plot.on("plotly_click", (event) => { location.hash = "point=" + event.points[0].customdata; });
      plot.on("plotly_relayout", (event) => {
        if (!Object.keys(event).some((key) => /^[xy]axis\.(range|autorange)/.test(key))) return;
        const fresh = {};
        for (const [key, id] of [["xaxis", "across"], ["yaxis", "up"]]) {
          const { range, type } = plot.layout[key];
          for (const [part, value] of Object.entries(labelled(byId(id).value, range, type === "log"))) fresh[key + "." + part] = value;
        }
        Plotly.relayout(plot, fresh);
      });
    });
  }

  function bars(id, traces, height, title, about) {
    byId(id).closest("section").hidden = !traces.length;
    if (!traces.length) return;
    Plotly.react(byId(id), traces.map((one) => Object.assign({ type: "bar", orientation: "h" }, one)), layout(height, {
      xaxis: axis(title, about), yaxis: axis("", { type: "category", autorange: "reversed", ticksuffix: " " }), barmode: "group", dragmode: false,
    }), config);
  }
  function drawImportance() {
    const found = data.importance[fidelity()] || {};
    const share = (name, field) => (found[name] && Object.hasOwn(found[name], field) ? found[name][field] : 0);
    const shown = [...new Set(judged.flatMap((name) => Object.keys(found[name] || {})))];
    const most = (field) => Math.max(...judged.map((name) => share(name, field)));
    shown.sort((a, b) => most(b) - most(a) || (a < b ? -1 : 1));
    bars("importance", shown.length ? judged.map((name, i) => ({
      name: safe(short(name)), y: shown.map(safe), x: shown.map((field) => 100 * share(name, field)), marker: { color: data.palette[i] },
      text: shown.map((field) => (100 * share(name, field)).toFixed(0)), textposition: "outside", cliponaxis: false,
      hovertemplate: "%{y}: %{x:.1f} % of " + safe(short(name)) + "<extra></extra>",
    })) : [], 100 + shown.length * (18 + 14 * judged.length), "share of the variance, %", { range: [0, 100] });
  }
  function drawBottlenecks() {
    const counts = new Map();
    for (const row of every) if (here(row) && valid(row) && table.bottleneck[row]) counts.set(table.bottleneck[row], (counts.get(table.bottleneck[row]) || 0) + 1);
    const shown = byCount.filter((name) => counts.has(name));
    bars("bottlenecks", shown.length ? [{
      y: shown.map(safe), x: shown.map((name) => counts.get(name)), marker: { color: shown.map(colourOf) }, showlegend: false,
      text: shown.map((name) => counts.get(name).toLocaleString("en")), textposition: "outside", cliponaxis: false, hovertemplate: "%{y}: %{x} points<extra></extra>",
    }] : [], 90 + 30 * shown.length, "valid points", Object.assign({ rangemode: "tozero" }, Math.max(...counts.values()) < 5 ? { dtick: 1 } : {}));
  }

  function median(sizes) {
    const sorted = [...sizes].sort((a, b) => a - b);
    const half = sorted.length >> 1;
    return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  }
  function drawHistory() {
    if (!data.history.length) return;
    const traces = [];
    data.searches.forEach(([search, near], i) => {
      const steps = new Map();
      for (const [name, , evaluations, volume] of data.history) if (name === search) steps.set(evaluations, [...(steps.get(evaluations) || []), volume]);
      const x = [...steps.keys()].sort((a, b) => a - b);
      const colour = data.palette[i % data.palette.length];
      const at = (pick) => x.map((n) => 100 * pick(steps.get(n)));
      const dash = ["solid", "dash", "dot", "dashdot"][i % 4];
      traces.push({ x: [...x, ...[...x].reverse()], y: [...at((s) => Math.max(...s)), ...at((s) => Math.min(...s)).reverse()], fill: "toself", fillcolor: colour + "26", line: { width: 0 }, hoverinfo: "skip", showlegend: false, mode: "lines" });
      const name = search + (near === null ? " (95 % not reached)" : " (95 % after " + near.toLocaleString("en") + ")");
      traces.push({ x, y: at(median), mode: "lines", name: safe(name), line: { color: colour, width: 2, dash }, hovertemplate: safe(search) + ": %{y:.1f} % after %{x:,}<extra></extra>" });
    });
    const most = Math.log10(data.history.reduce((n, [, , evaluations]) => Math.max(n, evaluations), 10));
    const near = { type: "line", xref: "paper", x0: 0, x1: 1, y0: 95, y1: 95, line: { width: 1, dash: "dot", color: "#8a94a0" } };
    Plotly.newPlot(byId("history"), traces, layout(360, { shapes: [near], xaxis: axis("points evaluated", Object.assign({ type: "log", range: [0, most] }, labelled("", [0, most], true))), yaxis: axis("hypervolume, % of the front's", { range: [0, 104] }) }), config);
  }
  function drawAll() {
    drawFront();
    drawImportance();
    drawBottlenecks();
  }
  drawAll();
  drawHistory();
}
