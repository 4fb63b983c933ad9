"use strict";
// The run of one point, at #point=KEY: its design, its numbers, where cycles, energy and area go.
{
  const NEIGHBOURS = 3;  // points that are better, named where a point is dominated
  const percent = (share) => (100 * share).toFixed(1) + " %";
  const bySize = (parts) => Object.entries(parts || {}).filter(([, value]) => value).sort((a, b) => b[1] - a[1]);

  function facts(pairs) {
    const list = element("dl", null, "facts");
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
  /** How the point stands among the others: on the front, dominated by these, or why it is not valid. */
  function standing(row) {
    if (!valid(row)) return element("p", table.status[row] + ": " + [table.reason[row], table.message[row]].filter(Boolean).join(": "), "trouble");
    const all = judged.length === 1 ? short(judged[0]) : "one of " + judged.map(short).join(", ") + " and no worse in the others";
    if (onFront(row)) return element("p", "On the front: no point found is better in " + all + ".", "headline");
    const better = every.filter((other) => onFront(other) && table.fidelity[other] === table.fidelity[row] && dominates(other, row, judged));
    if (!better.length) return element("p", "Not on the front.", "headline");
    const said = element("p", "Dominated by " + better.length.toLocaleString("en") + (better.length === 1 ? " point" : " points") + " of the front: ", "headline");
    better.slice(0, NEIGHBOURS).forEach((other, i) => {
      const link = element("a", judged.map((name) => amount(name, table[name][other])).join(", "));
      link.href = "#point=" + table.key[other];
      said.append(i ? "; " : "", link);
    });
    if (better.length > NEIGHBOURS) said.append(" …");
    return said;
  }
  function cycles(work) {
    const share = (part) => part / work.cycles;
    const said = (part) => digits(part) + " · " + percent(share(part));
    const parts = [element("h3", "Cycles: " + digits(work.cycles))];
    for (const phase of work.phases) {
      parts.push(bar(phase.name, share(phase.cycles), said(phase.cycles)));
      for (const [cause, lost] of bySize(phase.stalls)) parts.push(bar(cause.replace(/_/g, " "), share(lost), said(lost), true));
    }
    return parts;
  }
  /** Bars of one kind of parts; traffic has no whole, since parts of it overlap. */
  function shares(heading, found, text, add) {
    const sizes = bySize(found);
    if (!sizes.length) return [];
    const values = sizes.map(([, value]) => value);
    const whole = add ? values.reduce((sum, value) => sum + value, 0) : values[0];
    const title = element("h3", heading + (add ? ": " + text(whole) : ""));
    return [title, ...sizes.map(([name, value]) => bar(name.replace(/_/g, " "), value / whole, text(value) + (add ? " · " + percent(value / whole) : "")))];
  }
  function run(work) {
    const parts = [element("h2", work.name + (work.weight === 1 ? "" : ", weight " + digits(work.weight)))];
    parts.push(element("p", "Run it again:", "legend"), element("pre", work.again));
    if (work.cycles) parts.push(...cycles(work));
    parts.push(...shares("Energy", work.energy_parts, (value) => amount("energy_j", value), true));
    parts.push(...shares("Area", work.area_parts, (value) => amount("area_mm2", value), true));
    parts.push(...shares("Traffic", work.traffic_bytes, (value) => scaled(value, "B"), false));
    for (const [heading, found] of [["Quality", work.quality], ["Operations", work.operations]]) {
      const pairs = Object.entries(found || {});
      if (pairs.length) parts.push(element("h3", heading), facts(pairs.map(([name, value]) => [name.replace(/_/g, " "), typeof value === "number" ? digits(value) : String(value)])));
    }
    if (work.notes && work.notes.length) {
      const list = element("ul", null, "notes");
      list.append(...work.notes.map((note) => element("li", note)));
      parts.push(element("h3", "Notes"), list);
    }
    return parts;
  }
  /** Links to the same design at other fidelities. */
  function siblings(row) {
    const found = every.filter((other) => other !== row && table.fidelity[other] !== table.fidelity[row] && ["machine", ...fields].every((name) => table[name][other] === table[name][row]));
    if (!found.length) return [];
    const said = element("p", "The same design at other fidelities: ", "legend");
    found.forEach((other, i) => {
      const numbers = measured.filter((name) => table[name][other] !== null).map((name) => short(name) + " " + amount(name, table[name][other]));
      const link = element("a", table.fidelity[other] + " (" + (numbers.join(", ") || table.status[other] + ": " + table.reason[other]) + ")");
      link.href = "#point=" + table.key[other];
      said.append(i ? "; " : "", link);
    });
    return [said];
  }
  function open(row) {
    const key = table.key[row];
    const back = element("a", "← all points", "back");
    back.href = "#";
    const parts = [back, element("p", "Siloom exploration: one point", "brand"), element("h1", table.machine[row]), standing(row)];
    const other = measured.filter((name) => !judged.includes(name));
    const result = [...judged, ...other].filter((name) => table[name][row] !== null).map((name) => [name, amount(name, table[name][row])]);
    const about = [["bottleneck", table.bottleneck[row]], ["workload", table.workload[row]], ["fidelity", table.fidelity[row]], ["key", key]];
    parts.push(element("h2", "Design"), facts(settings(row)), element("h2", "Result"), facts([...result, ...about].filter(([, value]) => value)), ...siblings(row));
    const detail = Object.hasOwn(data.details, key) ? data.details[key] : null;
    if (detail) parts.push(...detail.workloads.flatMap(run));
    else parts.push(element("p", "Its stalls and parts are not on this page: siloom store explain STORE " + key.slice(0, 12), "legend"));
    byId("point").replaceChildren(...parts);
  }
  let scrolled = 0;
  function navigate() {
    const found = /^#point=([0-9a-f]{32})$/.exec(location.hash);
    const row = found ? place.get(found[1]) : undefined;
    if (row !== undefined && !byId("all").hidden) scrolled = window.scrollY;
    if (row !== undefined) open(row);
    byId("point").hidden = row === undefined;
    byId("all").hidden = row !== undefined;
    window.scrollTo({ top: row === undefined ? scrolled : 0, behavior: "instant" });
  }
  window.addEventListener("hashchange", navigate);
  window.addEventListener("keydown", (event) => { if (event.key === "Escape" && !byId("point").hidden) location.hash = ""; });
  navigate();
}
