"use strict";
// What the page's parts share: its data, texts that stay texts, numbers with units.
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
const fields = names.slice(2, names.indexOf("workload"));
const measured = names.filter((name) => Object.hasOwn(data.metrics, name));
const judged = data.objectives.filter((name) => Object.hasOwn(table, name));
const every = table.key.map((key, row) => row);
const best = new Set(data.front);
const place = new Map(table.key.map((key, row) => [key, row]));
const valid = (row) => table.status[row] === "ok";
const onFront = (row) => best.has(table.key[row]);
const byId = (id) => document.getElementById(id);

/** Plotly reads a subset of HTML in its texts; this is shown letter by letter. */
const safe = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/%\{/g, "%&#123;");

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = text;
  if (name) made.className = name;
  return made;
}

const PREFIXES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"], [1e-12, "p"], [1e-15, "f"]];
function scaled(value, unit, precision = 3) {
  const size = Math.abs(Number(value.toPrecision(precision)));
  if (size === 0) return "0 " + unit;
  const [factor, prefix] = PREFIXES.find(([least]) => size >= least) || PREFIXES[PREFIXES.length - 1];
  return Number((value / factor).toPrecision(precision)) + " " + prefix + unit;
}
const WHOLE = new Intl.NumberFormat("en");
const SIGNIFICANT = new Map([4, 6].map((precision) => [precision, new Intl.NumberFormat("en", { maximumSignificantDigits: precision })]));
/** Whole numbers in full, others with so many digits. */
function digits(value, precision = 4) {
  if (Number.isSafeInteger(value)) return WHOLE.format(value);
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e9) return Number(value.toPrecision(precision)).toString();
  return SIGNIFICANT.get(precision).format(value);
}
const unitOf = (name) => (Object.hasOwn(data.metrics, name) ? data.metrics[name].unit : "");
/** The value of a column as readers see it; no value is no text. */
function amount(name, value, precision) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  const unit = unitOf(name);
  if (unit === "mm2") return digits(value, precision) + " mm²";
  return unit ? scaled(value, unit, precision) : digits(value, precision);
}
const more = (name) => data.metrics[name].more;
const short = (name) => (Object.hasOwn(data.metrics, name) ? data.metrics[name].short : name);
const plain = (name) => name.replace(/^field\./, "");

/** The fields that a point has, as pairs of texts. */
function settings(row) {
  return fields.filter((name) => table[name][row] !== null).map((name) => [plain(name), amount("", table[name][row])]);
}
/** Whether row a is no worse than row b in all these metrics, and better in one. */
function dominates(a, b, metrics) {
  let better = false;
  for (const name of metrics) {
    const difference = (table[name][a] - table[name][b]) * (more(name) ? -1 : 1);
    if (difference > 0) return false;
    better = better || difference < 0;
  }
  return better;
}
