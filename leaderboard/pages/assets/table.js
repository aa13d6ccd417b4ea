// The table of the front page: filter, sort, search and choose columns of what data/table.js holds; the view is the address.
"use strict";
(() => {
  const data = globalThis.LEADERBOARD;
  const place = document.getElementById("tables");
  const AT_ONCE = 100, AT_FIRST = { judged: 60, apart: 30, unfinished: 30 }; // rows that are drawn
  const N = data.setting.length;
  const COLUMNS = new Map(data.columns.map((column) => [column.id, column]));
  const USUAL = data.columns.filter((column) => column.shown).map((column) => column.id);
  const ON_A_PHONE = ["arm", "worth", "vs_none", "verdict", "rank", "status"];
  const TITLES = {
    judged: ["Generators", "What is judged."],
    apart: ["Controls and points of the learning curve", "Not judged: what the generators are read against. They have no rank."],
    unfinished: ["Not finished", "Runs that failed or were skipped, with the reason."],
  };
  const FILTERS = [
    ["dataset", "Dataset"], ["classifier", "Classifier"], ["situation", "Situation"], ["real_fraction", "Real patients"],
    ["status", "Status"],
  ];
  const HIDDEN = ["generator", "setting"]; // filters that a link sets
  // How many columns are usual is a matter of the window, as where lines break is. So a link names columns only where
  // somebody chose them: one that was copied on a phone opens the same rows on a desk, in the columns that are usual there.
  const usual = () => (window.matchMedia("(max-width: 640px)").matches ? ON_A_PHONE : USUAL);
  const fresh = () => ({ q: "", sort: "", down: false, columns: usual().slice(), filters: {}, shown: {} });
  let state = fresh();

  // -- what a row holds ------------------------------------------------------------------------------------------
  const text = (name, row) => data.texts[name][data.codes[name][row]];
  const part = (name, row, which = "value") => data.numbers[name][which] ? data.numbers[name][which][row] : null;
  const note = (name, row) => { const why = data.why[name]; return why && why[row] >= 0 ? data.notes[why[row]] : ""; };
  const section = (row) => { const kind = text("kind", row); return kind === "control" || kind === "curve" ? "apart" : kind; };
  const percent = (share) => `${+(100 * share).toPrecision(4)} %`;
  const valueOf = (name, row) => name === "real_fraction" ? percent(part(name, row))
    : name === "setting" ? data.settings[data.setting[row]].key : text(name, row);
  const WORDS = ["arm", "generator", "dataset", "classifier", "situation", "verdict", "status", "run"];
  const searched = Array.from({ length: N }, (_, row) => WORDS.map((name) => text(name, row)).join("\n").toLowerCase());
  const isText = (id) => id in data.texts;

  const keys = new Map();
  function keysOf(id) { // numbers to sort by, made once a column
    if (keys.has(id)) return keys.get(id);
    let found;
    if (isText(id)) {
      const order = data.texts[id].map((word, code) => [word, code]).sort((a, b) => a[0].localeCompare(b[0], "en", { numeric: true }));
      const ranks = new Float64Array(order.length);
      order.forEach(([, code], k) => { ranks[code] = k; });
      found = Float64Array.from(data.codes[id], (code) => ranks[code]);
    } else {
      found = Float64Array.from(data.numbers[id].value, (value) => (value === null ? NaN : value));
    }
    keys.set(id, found);
    return found;
  }

  function chosen() {
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = Object.entries(state.filters).filter(([, value]) => value);
    const rows = [];
    for (let row = 0; row < N; row += 1) {
      if (wanted.every(([name, value]) => valueOf(name, row) === value) && words.every((word) => searched[row].includes(word))) {
        rows.push(row);
      }
    }
    if (state.sort) {
      const by = keysOf(state.sort), way = state.down ? -1 : 1;
      rows.sort((a, b) => {
        const x = by[a], y = by[b];
        if (x !== x || y !== y) return (x !== x) - (y !== y) || a - b; // what is missing stands last, either way
        return way * (x - y) || a - b;
      });
    }
    return rows;
  }

  // -- how a cell is written ---------------------------------------------------------------------------------------
  const minus = (written) => written.replace("-", "\u2212");
  const fixed = (value, digits, sign) => (value === null ? "\u2026" : minus((sign && value >= 0 ? "+" : "") + value.toFixed(digits)));
  const few = (value) => minus(Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(1)
    : String(+value.toPrecision(4)));
  const pText = (p) => (p < 0.0005 ? "< .001" : p.toFixed(3).replace(/^0/, ""));
  const digitsOf = (id) => (id === "worth" ? 2 : 3);

  function written(id, row) { // the number, and what stands below it
    const value = part(id, row), kind = COLUMNS.get(id).kind;
    if (value === null) return null;
    if (kind === "rank") return [(part("rank", row, "tied") ? "=" : "") + value, ""];
    if (id === "real_fraction") return [percent(value), ""];
    if (kind === "p") return [pText(value), ""];
    if (kind === "cost") return [Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en") : few(value), ""];
    if (kind === "floor") {
      const floor = part(id, row, "floor"), n = part(id, row, "n"), least = part(id, row, "at_floor_n");
      const where = part(id, row, "floor_n");
      const below = floor === null ? "no floor" : `floor ${few(floor)} @${where}` + (least === null ? "" : `, arm ${few(least)}`);
      return [`${few(value)}${n === null ? "" : ` @${n}`}`, below];
    }
    if (kind === "number") return [few(value), ""];
    const digits = digitsOf(id), sign = kind === "gain";
    const low = part(id, row, "low"), high = part(id, row, "high");
    let below = low === null && high === null ? "" : `[${fixed(low, digits, sign)}, ${fixed(high, digits, sign)}]`;
    const corrected = kind === "gain" ? part(id.replace("vs_", "holm_"), row) : null;
    return [fixed(value, digits, sign), below, corrected === null ? "" : `p ${pText(corrected)}`];
  }

  function element(tag, given = {}, ...inside) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(given)) {
      if (value !== null && value !== undefined) made.setAttribute(name, value);
    }
    made.append(...inside);
    return made;
  }
  const hidden = (said) => element("span", { class: "sr" }, said);

  function cell(id, row) {
    const column = COLUMNS.get(id);
    if (id === "arm") {
      const why = note("contaminated", row);
      const inside = [element("a", { href: text("page", row) }, text("arm", row))];
      if (why) inside.push(" ", element("span", { class: "flag", "data-tip": why }, "may have seen these films", hidden(`: ${why}`)));
      if (state.sort) inside.push(element("small", {}, data.settings[data.setting[row]].short)); // else a line above says it
      return element("th", { scope: "row", class: "pinned" }, ...inside);
    }
    if (id === "verdict") return element("td", {}, element("span", { class: `word ${text("word", row)}` }, text(id, row)));
    if (id === "status") {
      const why = note("status", row);
      return element("td", why ? { "data-tip": why } : {},
        element("span", { class: `status ${text(id, row)}` }, text(id, row), ...(why ? ["\u2009†", hidden(` (${why})`)] : [])),
        ...(text("beside", row) ? [element("small", { class: "beside" }, text("beside", row))] : []));
    }
    if (isText(id)) return element("td", {}, id === "run" ? element("code", {}, text(id, row)) : text(id, row));
    const found = written(id, row), why = note(id, row);
    if (found === null) {
      const said = why || "not measured";
      return element("td", { class: "num null", "data-tip": said }, element("span", { "aria-hidden": "true" }, "–"),
        hidden(`not available: ${said}`));
    }
    const inside = [found[0]];
    if (why) inside.push(element("sup", { "aria-hidden": "true" }, "†"), hidden(` (${why})`));
    if (found[1]) inside.push(element("small", {}, found[1], ...(found[2] ? [" ", element("span", { class: "p" }, found[2])] : [])));
    return element("td", { class: "num", "data-tip": why || null }, ...inside);
  }

  // -- the tables ----------------------------------------------------------------------------------------------------
  const numeric = (id) => !isText(id);
  function head(ids) {
    const cells = ids.map((id) => {
      const column = COLUMNS.get(id), sorted = state.sort === id;
      const button = element("button", { type: "button", "data-sort": id, "aria-describedby": `help-${id}`, "data-tip": column.help }, column.label,
        ...(column.claimed ? [element("sup", { class: "claimed", title: "claimed", "aria-hidden": "true" }, "°"), hidden(" (claimed)")] : []));
      const way = sorted ? (state.down ? "descending" : "ascending") : "none";
      return element("th", { scope: "col", "aria-sort": way, class: [numeric(id) ? "num" : "", id === "arm" ? "pinned" : ""].join(" ").trim() || null }, button);
    });
    return element("thead", {}, element("tr", {}, ...cells));
  }

  function fill(body, rows, from, to, ids) {
    const made = document.createDocumentFragment();
    for (let k = from; k < to; k += 1) {
      const row = rows[k], setting = data.setting[row];
      if (!state.sort && (k === 0 || data.setting[rows[k - 1]] !== setting)) {
        const { heading: said, corrected } = data.settings[setting];
        const heading = element("span", {}, said, ...(corrected ? [element("small", {}, corrected)] : []));
        made.append(element("tr", { class: "group" }, element("th", { colspan: ids.length, scope: "colgroup" }, heading)));
      }
      const line = element("tr", { class: note("contaminated", row) ? "contaminated" : null });
      line.append(...ids.map((id) => cell(id, row)));
      made.append(line);
    }
    body.append(made);
  }

  function table(name, rows) {
    const [title, about] = TITLES[name];
    const ids = name === "unfinished" ? ["arm", "situation", "dataset", "classifier", "status"] : state.columns;
    const box = element("section", { "data-section": name, "aria-labelledby": `title-${name}` });
    box.append(element("h3", { id: `title-${name}` }, title), element("p", { class: "soft about" }, about));
    const body = element("tbody");
    const whole = element("table", {}, element("caption", { class: "sr" }, title), head(ids), body);
    const region = element("div", { class: "scroll", role: "region", "aria-label": `${title}, table`, tabindex: "0" }, whole);
    const shown = Math.min(state.shown[name] || AT_FIRST[name], rows.length);
    fill(body, rows, 0, shown, ids);
    if (name === "unfinished") {
      body.querySelectorAll("td[data-tip]").forEach((td) => td.append(element("small", { class: "reason" }, td.dataset.tip)));
    }
    box.append(region);
    if (shown < rows.length) {
      const more = element("button", { type: "button" }, `Show ${Math.min(AT_ONCE, rows.length - shown)} more`);
      more.addEventListener("click", () => {
        state.shown[name] = shown + AT_ONCE;
        draw();
        const next = place.querySelector(`[data-section=${name}] .more button`);
        if (next) next.focus();
      });
      box.append(element("p", { class: "more" }, more, element("span", { class: "soft" }, `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")}`)));
    }
    return box;
  }

  function draw() {
    const rows = chosen();
    const parts = { judged: [], apart: [], unfinished: [] };
    for (const row of rows) parts[section(row)].push(row);
    const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.sort : null;
    const within = focused && document.activeElement.closest("[data-section]").dataset.section;
    place.replaceChildren(...Object.keys(TITLES).filter((name) => parts[name].length).map((name) => table(name, parts[name])));
    if (focused) {
      const again = place.querySelector(`[data-section=${within}] [data-sort="${focused}"]`);
      if (again) again.focus();
    }
    const many = (n, one) => `${n.toLocaleString("en")} ${one}${n === 1 ? "" : "s"}`;
    document.getElementById("count").textContent = rows.length
      ? `${many(parts.judged.length, "judged arm")}, ${many(parts.apart.length, "control")} and points of the curve`
        + (parts.unfinished.length ? `, ${parts.unfinished.length} not finished` : "") + (rows.length < N ? ` (of ${N.toLocaleString("en")} in all)` : "")
      : "Nothing matches. Reset the filters to see every arm.";
  }

  // -- the view in the address ---------------------------------------------------------------------------------------
  function toAddress() {
    const said = new URLSearchParams();
    if (state.q) said.set("q", state.q);
    for (const [name, value] of Object.entries(state.filters)) if (value) said.set(name, value);
    if (state.sort) said.set("sort", (state.down ? "-" : "") + state.sort);
    if (state.columns.join() !== usual().join()) said.set("columns", state.columns.join(" "));
    return said.toString();
  }
  const VIEW = ["q", "sort", "columns", ...FILTERS.map(([name]) => name), ...HIDDEN];
  function fromAddress() {
    const said = new URLSearchParams(location.hash.slice(1));
    if (![...said.keys()].some((name) => VIEW.includes(name))) return false; // a place on the page, and no view
    state = fresh();
    state.q = said.get("q") || "";
    for (const name of [...FILTERS.map(([one]) => one), ...HIDDEN]) if (said.get(name)) state.filters[name] = said.get(name);
    const sort = said.get("sort") || "";
    if (COLUMNS.has(sort.replace(/^-/, ""))) { state.down = sort.startsWith("-"); state.sort = sort.replace(/^-/, ""); }
    const asked = (said.get("columns") || "").split(" ").filter((id) => COLUMNS.has(id));
    if (asked.length) state.columns = asked.includes("arm") ? asked : ["arm", ...asked];
    return true;
  }
  const here = () => location.href.split("#")[0];
  function changed() {
    state.shown = {};
    const said = toAddress();
    history.replaceState(null, "", said ? `#${said}` : here());
    draw();
  }

  // -- search, filters, columns --------------------------------------------------------------------------------------
  function makeFilters() {
    const holder = document.getElementById("filters");
    for (const [name, label] of FILTERS) {
      const values = [...new Set(Array.from({ length: N }, (_, row) => valueOf(name, row)))];
      values.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
      const select = element("select", { id: `filter-${name}` }, element("option", { value: "" }, "all"),
        ...values.map((value) => element("option", { value }, value)));
      select.addEventListener("change", () => { state.filters[name] = select.value; changed(); });
      holder.append(element("label", {}, label, select));
    }
  }
  const PRESETS = [
    ["Usual", () => usual().slice()], ["All", () => data.columns.map((column) => column.id)],
    ["Image quality", () => ["arm", "vs_none", ...measuredIn("Image quality"), ...measuredIn("Copies")]],
    ["Classifier", () => ["arm", ...measuredIn("Classifier on test")]], ["Cost", () => ["arm", "vs_none", ...measuredIn("Cost")]],
  ];
  const inGroup = (group) => data.columns.filter((column) => column.group === group).map((column) => column.id);
  const measuredIn = (group) => inGroup(group).filter((id) => data.numbers[id].value.some((value) => value !== null));
  function makeChooser() {
    const panel = document.getElementById("columns");
    const presets = element("div", { class: "presets", role: "group", "aria-label": "Sets of columns" });
    for (const [label, which] of PRESETS) {
      const button = element("button", { type: "button" }, label);
      button.addEventListener("click", () => { state.columns = which(); show(); changed(); });
      presets.append(button);
    }
    const groups = element("div", { class: "groups" });
    for (const group of new Set(data.columns.map((column) => column.group))) {
      const field = element("fieldset", {}, element("legend", {}, group));
      for (const id of inGroup(group)) {
        const box = element("input", { type: "checkbox", "data-column": id });
        box.disabled = id === "arm";
        box.addEventListener("change", () => {
          const wanted = new Set(state.columns);
          wanted[box.checked ? "add" : "delete"](id);
          const order = data.columns.map((column) => column.id);
          state.columns = [...wanted].sort((a, b) => order.indexOf(a) - order.indexOf(b));
          changed();
        });
        field.append(element("label", { "data-tip": COLUMNS.get(id).help }, box, COLUMNS.get(id).label));
      }
      groups.append(field);
    }
    panel.append(presets, groups);
    const chooser = document.getElementById("chooser");
    chooser.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && chooser.open) { chooser.open = false; chooser.querySelector("summary").focus(); }
    });
    document.addEventListener("click", (event) => { if (!chooser.contains(event.target)) chooser.open = false; });
  }
  function show() { // what the controls have, as the state has it
    document.getElementById("search").value = state.q;
    for (const [name] of FILTERS) document.getElementById(`filter-${name}`).value = state.filters[name] || "";
    document.querySelectorAll("#columns input").forEach((box) => { box.checked = state.columns.includes(box.dataset.column); });
  }

  // -- explanations, and the arrow keys ------------------------------------------------------------------------------
  function makeTips() {
    const tip = element("div", { id: "tip", role: "tooltip", hidden: "" });
    document.body.append(tip);
    const off = () => { tip.hidden = true; };
    const on = (event) => {
      const found = event.target.closest ? event.target.closest("[data-tip]") : null;
      if (!found) { off(); return; }
      tip.textContent = found.dataset.tip;
      tip.hidden = false;
      const box = found.getBoundingClientRect(), mine = tip.getBoundingClientRect();
      const left = Math.min(Math.max(8, box.left + box.width / 2 - mine.width / 2), window.innerWidth - mine.width - 8);
      const above = box.top - mine.height - 8;
      tip.style.left = `${left}px`;
      tip.style.top = `${above > 4 ? above : box.bottom + 8}px`;
    };
    document.addEventListener("mouseover", on);
    document.addEventListener("focusin", on);
    document.addEventListener("scroll", off, true);
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") off(); });
  }
  place.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    const region = event.target.closest(".scroll");
    if (!step || !region) return;
    event.preventDefault();
    const lines = [...region.querySelectorAll("tbody tr:not(.group)")];
    const now = event.target.closest("tbody tr > *");
    let line = now ? lines.indexOf(now.parentElement) + step[0] : 0;
    let at = now ? [...now.parentElement.children].indexOf(now) + step[1] : 0;
    if (line < 0) { region.querySelector("thead button").focus(); return; }
    line = Math.min(line, lines.length - 1);
    at = Math.min(Math.max(at, 0), lines[line].children.length - 1);
    const next = lines[line].children[at];
    next.tabIndex = -1;
    next.focus();
    next.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
  place.addEventListener("click", (event) => {
    const button = event.target.closest("[data-sort]");
    if (!button) return;
    const id = button.dataset.sort, first = COLUMNS.get(id).better === "high";
    if (state.sort !== id) { state.sort = id; state.down = first; }
    else if (state.down === first) state.down = !first;
    else { state.sort = ""; state.down = false; }
    changed();
  });

  document.getElementById("search").addEventListener("input", (event) => { state.q = event.target.value.trim(); changed(); });
  document.getElementById("reset").addEventListener("click", () => { state = fresh(); show(); changed(); });
  document.getElementById("share").addEventListener("click", async (event) => {
    const button = event.currentTarget, address = `${here()}#${toAddress()}`;
    try { await navigator.clipboard.writeText(address); button.textContent = "Copied"; }
    catch { location.hash = toAddress(); button.textContent = "See the address"; }
    setTimeout(() => { button.textContent = "Copy link"; }, 2000);
  });
  document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", () => { if (fromAddress()) { show(); draw(); } });
  makeFilters();
  makeChooser();
  makeTips();
  const asked = fromAddress();
  document.getElementById("controls").hidden = false;
  show();
  draw();
  const idle = window.requestIdleCallback || ((then) => setTimeout(then, 0)); // Safari has none
  idle(() => USUAL.forEach(keysOf)); // so that the first sort is as quick as the next
  const at = document.getElementById(asked ? "table" : location.hash.slice(1)); // which the table has moved
  if (at) at.scrollIntoView({ behavior: "instant" });
})();
