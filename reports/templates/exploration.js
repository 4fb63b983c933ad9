"use strict";
(function () {
  const trouble = document.getElementById("trouble");
  function tell(message) {
    trouble.hidden = false;
    trouble.textContent = "Something on this page could not be drawn: " + message;
  }
  window.addEventListener("error", (event) => tell(event.message));
  window.addEventListener("unhandledrejection", (event) => tell(String(event.reason)));
  document.addEventListener("securitypolicyviolation", (event) => tell(event.violatedDirective + " " + event.blockedURI));

  const data = JSON.parse(document.getElementById("data").textContent);
  const table = data.table;
  const names = Object.keys(table);
  const count = table.key.length;
  const best = new Set(data.front);
  const place = new Map(table.key.map((key, row) => [key, row]));
  const every = [...Array(count).keys()];
  const valid = (row) => table.status[row] === "ok";
  const byId = (id) => document.getElementById(id);

  // Texts come from files: they reach the document as text, and Plotly, which reads a subset of HTML, escaped.
  const safe = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/%\{/g, "%&#123;");
  function element(tag, text, name) {
    const made = document.createElement(tag);
    if (text !== undefined && text !== null) made.textContent = text;
    if (name) made.className = name;
    return made;
  }

  const PREFIXES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"], [1e-12, "p"], [1e-15, "f"]];
  function digits(value) {
    return Number.isInteger(value) && Math.abs(value) < 1e6 ? value.toLocaleString("en") : Number(value.toPrecision(4)).toString();
  }
  function amount(name, value) {
    if (value === null || value === undefined) return "";
    if (typeof value === "boolean") return value ? "true" : "false";
    if (typeof value !== "number") return String(value);
    const unit = data.metrics[name] ? data.metrics[name].unit : "";
    if (!unit) return digits(value);
    if (unit === "mm2") return digits(value) + " mm²";
    return scaled(value, unit);
  }
  function scaled(value, unit) {
    if (value === 0) return "0 " + unit;
    const [factor, prefix] = PREFIXES.find(([size]) => Math.abs(value) >= size * 0.9999999) || PREFIXES[PREFIXES.length - 1];
    return Number((value / factor).toPrecision(3)) + " " + prefix + unit;
  }
  function title(name) {
    const known = data.metrics[name];
    const unit = known ? known.unit.replace("mm2", "mm²") : "";
    return safe(name) + (unit ? " [" + unit + "]" : "") + (known ? (known.more ? ", more is better" : ", less is better") : "");
  }
  function design(row) {
    const fields = names.slice(2, names.indexOf("workload")).filter((name) => table[name][row] !== null);
    return [table.machine[row], ...fields.map((name) => name.replace(/^field\./, "") + " = " + amount("", table[name][row]))];
  }

  const config = { displayModeBar: false, responsive: true };
  const axis = { showline: true, linecolor: "#8a94a0", gridcolor: "#e4e8ec", zeroline: false, automargin: true };
  function layout(height, more) {
    return Object.assign({
      height, margin: { l: 10, r: 20, t: 40, b: 45 },
      font: { family: "system-ui, -apple-system, 'Segoe UI', sans-serif", size: 13, color: "#1d2733" },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hoverlabel: { align: "left", namelength: -1 },
      hovermode: "closest",
      legend: { orientation: "h", x: 0, y: 1, xanchor: "left", yanchor: "bottom" },
    }, more);
  }

  // The front.
  const MOST_DRAWN = 4000;
  const judged = data.objectives.filter((name) => table[name]);
  const measured = names.filter((name) => data.metrics[name]);
  for (const [id, at] of [["across", 0], ["up", Math.min(1, judged.length - 1)]]) {
    for (const name of [...judged, ...measured.filter((other) => !judged.includes(other))]) {
      const option = element("option", name);
      option.value = name;
      byId(id).append(option);
    }
    byId(id).value = judged[at] || measured[0] || "";
    byId(id).addEventListener("change", drawFront);
  }
  byId("colours").addEventListener("change", drawFront);

  function trace(rows, x, y, name, marker, more) {
    return Object.assign({
      type: "scatter", mode: "markers", name: safe(name),
      x: rows.map((row) => table[x][row]), y: rows.map((row) => table[y][row]), customdata: rows.map((row) => table.key[row]),
      text: rows.map((row) => [...design(row), "", x + " " + amount(x, table[x][row]), y + " " + amount(y, table[y][row]),
        table.bottleneck[row] ? "bottleneck: " + table.bottleneck[row] : "", table.reason[row]].filter((line, i) => line || i === 0).map(safe).join("<br>")),
      hovertemplate: "%{text}<extra></extra>", marker,
    }, more);
  }
  function thin(rows) {
    const step = Math.ceil(rows.length / MOST_DRAWN);
    return step > 1 ? rows.filter((row, i) => i % step === 0) : rows;
  }
  function drawFront() {
    const x = byId("across").value, y = byId("up").value;
    if (!x || !y) return;
    const known = every.filter((row) => table[x][row] !== null && table[y][row] !== null);
    const front = known.filter((row) => best.has(table.key[row])).sort((a, b) => table[x][a] - table[x][b] || table[y][a] - table[y][b]);
    const others = thin(known.filter((row) => valid(row) && !best.has(table.key[row])));
    const broken = thin(known.filter((row) => !valid(row)));
    const traces = [trace(broken, x, y, "breaks a constraint", { size: 5, color: "#c9ced4", symbol: "x-thin-open" })];
    if (byId("colours").value === "bottleneck") {
      const classes = [...new Set(known.filter(valid).map((row) => table.bottleneck[row]))].sort();
      classes.forEach((name, i) => {
        const colour = data.palette[i % data.palette.length];
        traces.push(trace(others.filter((row) => table.bottleneck[row] === name), x, y, name || "unknown", { size: 6, color: colour, opacity: 0.45 }, { legendgroup: name }));
        traces.push(trace(front.filter((row) => table.bottleneck[row] === name), x, y, name, { size: 9, color: colour, line: { width: 1, color: "#1d2733" } }, { legendgroup: name, showlegend: false }));
      });
    } else {
      traces.push(trace(others, x, y, "dominated", { size: 5, color: "#8fb8d6", opacity: 0.7 }));
      traces.push(trace(front, x, y, "front", { size: 8, color: "#0072B2" }, { mode: judged.length === 2 && judged.includes(x) && judged.includes(y) ? "lines+markers" : "markers", line: { shape: "linear", width: 1.5 } }));
    }
    const positive = (name) => known.every((row) => table[name][row] > 0);
    const wide = (name) => { const sizes = known.map((row) => table[name][row]); return positive(name) && Math.max(...sizes) / Math.min(...sizes) > 5; };
    const scale = (name) => (wide(name) ? { type: "log", dtick: "D2" } : { type: "linear" });
    Plotly.react(byId("front"), traces.filter((one) => one.x.length), layout(480, {
      xaxis: Object.assign({ title: { text: title(x) } }, scale(x), axis),
      yaxis: Object.assign({ title: { text: title(y) } }, scale(y), axis),
    }), config).then((plot) => {
      if (plot.listening) return;
      plot.listening = true;
      plot.on("plotly_click", (event) => { location.hash = "point=" + event.points[0].customdata; });
    });
  }

  function drawImportance() {
    const fields = [...new Set(judged.flatMap((name) => Object.keys(data.importance[name] || {})))];
    if (!fields.length) return void byId("importance").remove();
    const total = (field) => judged.reduce((sum, name) => sum + ((data.importance[name] || {})[field] || 0), 0);
    fields.sort((a, b) => total(a) - total(b));
    Plotly.newPlot(byId("importance"), judged.map((name, i) => ({
      type: "bar", orientation: "h", name: safe(name), y: fields.map(safe), x: fields.map((field) => 100 * ((data.importance[name] || {})[field] || 0)),
      marker: { color: data.palette[i] }, hovertemplate: "%{y}: %{x:.1f} % of " + safe(name) + "<extra></extra>",
    })), layout(110 + 26 * fields.length * Math.max(1, judged.length / 2), {
      xaxis: Object.assign({ title: { text: "share of the variance, %" }, range: [0, 100] }, axis),
      yaxis: Object.assign({}, axis, { type: "category" }), barmode: "group",
    }), config);
  }
  function drawBottlenecks() {
    const counts = new Map();
    for (const row of every) if (valid(row) && table.bottleneck[row]) counts.set(table.bottleneck[row], (counts.get(table.bottleneck[row]) || 0) + 1);
    const sorted = [...counts].sort((a, b) => a[1] - b[1]);
    if (!sorted.length) return void byId("bottlenecks").remove();
    Plotly.newPlot(byId("bottlenecks"), [{ type: "bar", orientation: "h", y: sorted.map(([name]) => safe(name)), x: sorted.map(([, n]) => n), marker: { color: "#009E73" }, hovertemplate: "%{y}: %{x} points<extra></extra>" }],
      layout(100 + 26 * sorted.length, { xaxis: Object.assign({ title: { text: "valid points" } }, axis), yaxis: Object.assign({}, axis, { type: "category" }) }), config);
  }
  function drawHistory() {
    if (!data.history.length) return;
    const searches = [...new Set(data.history.map(([search]) => search))];
    const traces = [];
    searches.forEach((search, i) => {
      const steps = new Map();
      for (const [name, , evaluations, volume] of data.history) if (name === search) steps.set(evaluations, [...(steps.get(evaluations) || []), volume]);
      const x = [...steps.keys()].sort((a, b) => a - b);
      const colour = data.palette[i % data.palette.length];
      const at = (pick) => x.map((n) => 100 * pick(steps.get(n)));
      const mean = (sizes) => sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
      if (x.some((n) => steps.get(n).length > 1)) {
        traces.push({ x: [...x, ...[...x].reverse()], y: [...at((s) => Math.max(...s)), ...at((s) => Math.min(...s)).reverse()], fill: "toself", fillcolor: colour + "22", line: { width: 0 }, hoverinfo: "skip", showlegend: false, mode: "lines" });
      }
      traces.push({ x, y: at(mean), mode: "lines", name: safe(search), line: { color: colour, width: 2 }, hovertemplate: safe(search) + ": %{y:.1f} % after %{x}<extra></extra>" });
    });
    Plotly.newPlot(byId("history"), traces, layout(340, { xaxis: Object.assign({ title: { text: "evaluations" } }, axis), yaxis: Object.assign({ title: { text: "hypervolume, %" } }, axis) }), config);
  }

  // The table.
  const PAGE = 50;
  let order = every, sorted = judged[0] || null, down = false, at = 0;
  const head = document.querySelector("#table thead tr");
  const columns = names.filter((name) => name !== "message" && name !== "workload" && table[name].some((value) => value !== null && value !== ""));
  for (const name of columns) {
    const cell = element("th");
    const button = element("button", name);
    button.type = "button";
    cell.append(button);
    button.addEventListener("click", () => {
      down = sorted === name ? !down : false;
      sorted = name;
      for (const other of head.children) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      show();
    });
    if (name === sorted) cell.setAttribute("aria-sort", "ascending");
    head.append(cell);
  }
  const CONDITION = /^([A-Za-z_][\w.]*)(<=|>=|!=|<|>|=)(.*)$/;
  function conditions(text) {
    return text.trim().split(/\s+/).filter(Boolean).map((part) => {
      const found = CONDITION.exec(part);
      if (!found) return (row) => columns.some((name) => String(table[name][row]).toLowerCase().includes(part.toLowerCase()));
      const [, name, relation, right] = found;
      const column = table[name] || table["field." + name];
      if (!column || right === "") throw new Error(column ? part + " ..." : "no column '" + name + "'");
      return (row) => {
        const left = column[row];
        if (left === null) return false;
        const number = Number(right);
        const [a, b] = typeof left === "number" && !Number.isNaN(number) ? [left, number] : [String(left), right];
        return { "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b, "=": a === b, "!=": a !== b }[relation];
      };
    });
  }
  function show() {
    let rules = [];
    byId("shown").className = "";
    try {
      rules = conditions(byId("filter").value);
    } catch (error) {
      byId("shown").textContent = error.message;
      byId("shown").className = "wrong";
      return;
    }
    order = every.filter((row) => rules.every((rule) => rule(row)));
    if (sorted) {
      const column = table[sorted];
      const compare = (a, b) => (a === null) - (b === null) || (typeof a === "number" && typeof b === "number" ? a - b : String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0);
      order.sort((a, b) => (column[a] === null || column[b] === null ? compare(column[a], column[b]) : (down ? -1 : 1) * compare(column[a], column[b])) || a - b);
    }
    at = Math.min(at, Math.max(0, Math.ceil(order.length / PAGE) - 1));
    byId("shown").textContent = order.length.toLocaleString("en") + " of " + count.toLocaleString("en") + " points";
    fill();
  }
  function fill() {
    const body = document.querySelector("#table tbody");
    body.replaceChildren(...order.slice(at * PAGE, (at + 1) * PAGE).map((row) => {
      const line = element("tr", null, best.has(table.key[row]) ? "best" : valid(row) ? "" : "bad");
      line.dataset.key = table.key[row];
      for (const name of columns) {
        const value = table[name][row];
        const cell = element("td", name === "key" ? value.slice(0, 8) : amount(name, value), typeof value === "number" ? "number" : "");
        if (name === "reason" && table.message[row]) cell.title = table.message[row];
        line.append(cell);
      }
      line.addEventListener("click", () => { location.hash = "point=" + table.key[row]; });
      return line;
    }));
    const pages = Math.max(1, Math.ceil(order.length / PAGE));
    byId("page").textContent = "page " + (at + 1) + " of " + pages;
    byId("before").disabled = at === 0;
    byId("next").disabled = at >= pages - 1;
  }
  byId("filter").addEventListener("input", () => { at = 0; show(); });
  byId("before").addEventListener("click", () => { at -= 1; fill(); });
  byId("next").addEventListener("click", () => { at += 1; fill(); });

  // One point's run.
  function facts(pairs) {
    const list = element("dl");
    for (const [name, value] of pairs) {
      const pair = element("div");
      pair.append(element("dt", name), element("dd", value));
      list.append(pair);
    }
    return list;
  }
  function bar(name, share, value, inner) {
    const line = element("div", null, inner ? "bar inner" : "bar");
    const ink = element("i");
    ink.style.width = Math.max(0, Math.min(100, 100 * share)) + "%";
    const room = element("span");
    room.append(ink);
    line.append(element("span", name), room, element("span", value));
    return line;
  }
  const percent = (share) => (100 * share).toFixed(1) + " %";
  function bySize(parts) {
    return Object.entries(parts).filter(([, value]) => value).sort((a, b) => b[1] - a[1]);
  }
  function open(row) {
    const key = table.key[row];
    const back = element("a", "all points");
    back.href = "#";
    const parts = [element("p", "Siloom exploration", "brand"), back, element("h1", table.machine[row]), element("p", design(row).slice(1).join(", "), "headline")];
    if (!valid(row)) parts.push(element("p", table.status[row] + ": " + table.reason[row] + (table.message[row] ? ": " + table.message[row] : ""), "trouble"));
    parts.push(element("h2", "Result"), facts([...measured.filter((name) => table[name][row] !== null).map((name) => [name, amount(name, table[name][row])]),
      ["bottleneck", table.bottleneck[row]], ["workload", table.workload[row]], ["fidelity", table.fidelity[row]], ["key", key]].filter(([, value]) => value)));
    const detail = data.details[key];
    for (const work of detail ? detail.workloads : []) {
      parts.push(element("h2", work.name + (work.weight === 1 ? "" : ", weight " + work.weight)), element("pre", work.again));
      if (work.cycles) {
        parts.push(element("h3", "Cycles: " + work.cycles.toLocaleString("en")));
        for (const phase of work.phases) {
          parts.push(bar(phase.name, phase.cycles / work.cycles, percent(phase.cycles / work.cycles)));
          for (const [cause, cycles] of bySize(phase.stalls)) parts.push(bar(cause, cycles / work.cycles, percent(cycles / work.cycles), true));
        }
      }
      for (const [name, heading, unit] of [["energy_parts", "Energy", "J"], ["area_parts", "Area", "mm²"], ["traffic_bytes", "Traffic", "B"]]) {
        const sizes = bySize(work[name]);
        if (!sizes.length) continue;
        const whole = name === "traffic_bytes" ? Math.max(...sizes.map(([, value]) => value)) : sizes.reduce((sum, [, value]) => sum + value, 0);
        parts.push(element("h3", heading));
        for (const [part, value] of sizes) parts.push(bar(part, value / whole, unit === "mm²" ? digits(value) + " mm²" : scaled(value, unit)));
      }
      if (work.notes.length) {
        const list = element("ul", null, "notes");
        list.append(...work.notes.map((note) => element("li", note)));
        parts.push(element("h3", "Notes"), list);
      }
    }
    if (!detail) parts.push(element("p", "Its stalls and parts are not on this page: siloom store explain STORE " + key.slice(0, 12), "legend"));
    byId("point").replaceChildren(...parts);
  }
  let scrolled = 0;
  function navigate() {
    const found = /^#point=([0-9a-f]{32})$/.exec(location.hash);
    const row = found ? place.get(found[1]) : undefined;
    const before = byId("all").hidden;
    if (row !== undefined && !before) scrolled = window.scrollY;
    if (row !== undefined) open(row);
    byId("point").hidden = row === undefined;
    byId("all").hidden = row !== undefined;
    window.scrollTo(0, row === undefined ? scrolled : 0);
  }
  window.addEventListener("hashchange", navigate);

  drawFront();
  drawImportance();
  drawBottlenecks();
  drawHistory();
  show();
  navigate();
})();
