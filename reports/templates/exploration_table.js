"use strict";
// The table of all points: sorted by a click, filtered by conditions, a page at a time.
{
  const PAGE = 25;
  const known = (name) => table[name].some((value) => value !== null && value !== "");
  const same = (name) => every.length > 1 && table[name].every((value) => value === table[name][0]);
  const ranked = ["key", "machine", ...judged, ...fields, "status", "reason", "bottleneck", "fidelity", ...measured.filter((name) => !judged.includes(name))];
  const searched = ranked.filter(known);
  const fixed = searched.filter((name) => !judged.includes(name) && same(name));
  const columns = searched.filter((name) => !fixed.includes(name));
  byId("same").textContent = fixed.length ? "The same for all: " + fixed.map((name) => plain(name) + " " + amount(name, table[name][0])).join(", ") + "." : "";

  // At first the front is on top, then valid points, then others; each by the first objective.
  const rank = (row) => (onFront(row) ? 0 : valid(row) ? 1 : 2);
  const first = judged[0] || "key";
  let sorted = null, down = false, at = 0, order = every;
  function compare(name, a, b) {
    const [left, right] = [table[name][a], table[name][b]];
    if (left === null || right === null) return (left === null) - (right === null);
    const way = left < right ? -1 : left > right ? 1 : 0;
    return down ? -way : way;
  }

  const head = document.querySelector("#table thead tr");
  for (const name of columns) {
    const cell = element("th", null, typeof table[name].find((value) => value !== null) === "number" ? "number" : "");
    const button = element("button", plain(name));
    button.type = "button";
    button.addEventListener("click", () => {
      down = sorted === name && !down;
      sorted = name;
      for (const other of head.children) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      at = 0;
      show();
    });
    cell.append(button);
    head.append(cell);
  }

  const CONDITION = /^([A-Za-z_][\w.]*)(<=|>=|!=|<|>|=)(.*)$/;
  const QUANTITY = /^([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)([TGMkmuµnpf]?)([A-Za-z].*)?$/;
  /** A number as written: 50, 1e-4, or with the column's unit: 100us, 1.5mJ, 50mm2. */
  function numberOf(text, name) {
    const unit = unitOf(name).replace(/ /g, "");
    if (unit && text.endsWith(unit)) {
      const found = QUANTITY.exec(text.slice(0, text.length - unit.length));
      if (!found || found[3]) return NaN;
      return Number(found[1]) * PREFIXES.find(([, prefix]) => prefix === found[2].replace("u", "µ"))[0];
    }
    return text === "" ? NaN : Number(text);
  }
  const columnOf = (name) => [name, "field." + name, measured.find((other) => short(other) === name)].find((other) => other !== undefined && Object.hasOwn(table, other));
  function condition(part) {
    const found = CONDITION.exec(part);
    if (!found) {
      const sought = part.replace(/"/g, "").toLowerCase();
      return (row) => searched.some((name) => table[name][row] !== null && String(table[name][row]).toLowerCase().includes(sought));
    }
    const name = columnOf(found[1]);
    if (name === undefined) throw new Error("no column '" + found[1] + "'");
    const column = table[name], relation = found[2], text = found[3].replace(/"/g, "");
    const numeric = column.every((value) => value === null || typeof value === "number");
    const right = numeric ? numberOf(text, name) : text;
    if (text === "" || Number.isNaN(right)) throw new Error(found[1] + relation + (text ? "'" + text + "'" : "") + ": a " + (numeric ? "number" : "text") + " is missing");
    return (row) => {
      const left = numeric || column[row] === null ? column[row] : String(column[row]);
      if (left === null) return false;
      return { "<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right, "=": left === right, "!=": left !== right }[relation];
    };
  }
  function show() {
    let rules = [];
    byId("shown").className = "";
    try {
      rules = (byId("filter").value.match(/(?:[^\s"]|"[^"]*"?)+/g) || []).map(condition);
    } catch (error) {
      byId("shown").textContent = error.message;
      byId("shown").className = "wrong";
      return;
    }
    if (byId("only").checked) rules.push(onFront);
    order = every.filter((row) => rules.every((rule) => rule(row)));
    order.sort(sorted === null ? (a, b) => rank(a) - rank(b) || compare(first, a, b) || a - b : (a, b) => compare(sorted, a, b) || a - b);
    at = Math.min(at, Math.max(0, Math.ceil(order.length / PAGE) - 1));
    byId("shown").textContent = order.length.toLocaleString("en") + " of " + every.length.toLocaleString("en") + " points";
    fill();
    document.dispatchEvent(new CustomEvent("filtered", { detail: order }));
  }
  function cellOf(row, name) {
    const value = table[name][row];
    const cell = element("td", name === "key" ? null : amount(name, value), typeof value === "number" ? "number" : "");
    if (name === "key") {
      const link = element("a", value.slice(0, 8));
      link.href = "#point=" + value;
      cell.append(link);
    }
    if (name === "reason" && table.message[row]) cell.title = table.message[row];
    return cell;
  }
  function fill() {
    document.querySelector("#table tbody").replaceChildren(...order.slice(at * PAGE, (at + 1) * PAGE).map((row) => {
      const line = element("tr", null, ["best", "", "bad"][rank(row)]);
      line.append(...columns.map((name) => cellOf(row, name)));
      line.addEventListener("click", () => { location.hash = "point=" + table.key[row]; });
      return line;
    }));
    const pages = Math.max(1, Math.ceil(order.length / PAGE));
    byId("page").textContent = "page " + (at + 1).toLocaleString("en") + " of " + pages.toLocaleString("en");
    byId("before").disabled = at === 0;
    byId("next").disabled = at >= pages - 1;
  }
  const again = () => { at = 0; show(); };
  byId("filter").addEventListener("input", again);
  byId("only").addEventListener("change", again);
  byId("before").addEventListener("click", () => { at -= 1; fill(); });
  byId("next").addEventListener("click", () => { at += 1; fill(); });
  show();
}
