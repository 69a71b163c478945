"use strict";
const $ = (id) => document.getElementById(id);
const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};

const fill = (select, options, chosen) => {
  select.replaceChildren(...options.map(([value, text]) => {
    const option = make("option", "", text);
    option.value = value;
    return option;
  }));
  if (chosen !== undefined && options.some(([value]) => value === chosen)) select.value = chosen;
};

// ---- tables: sort by any column ----
// a column of numbers is sorted by what it shows: 1,234, −0.5 [−1.0, 0.2], <0.001; n/a is a text
const keyOf = (row, head) => {
  const text = row.cells[head.cellIndex].textContent.trim();
  const value = parseFloat(text.replace("<", "").replace("−", "-").replaceAll(",", ""));
  return head.className !== "n" || Number.isNaN(value) ? text : value;
};
const sort = (table) => {
  const head = table.tHead.querySelector("[aria-sort]");
  if (!head) return;
  const sign = head.getAttribute("aria-sort") === "descending" ? -1 : 1;
  const rows = [...table.tBodies[0].rows].map((row) => [keyOf(row, head), row]);
  rows.sort(([a], [b]) => {
    // numbers first whatever the direction, so that "n/a" never hides them
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return typeof a === "number" ? sign * (a - b) : sign * String(a).localeCompare(String(b));
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
};
for (const table of document.querySelectorAll("table.sortable")) {
  table.tHead.addEventListener("click", (event) => {
    const head = event.target.closest("th");
    if (!head) return;
    const down = head.getAttribute("aria-sort") !== "descending";
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    sort(table);
  });
}

// ---- comparisons: the rows that the filters ask for; a row is [text, interval] of A, B, task, metric, ... ----
const comparisons = (rows) => {
  const table = $("t-comparisons");
  const numeric = [...table.tHead.rows[0].cells].map((head) => head.className);
  const cell = ([text, interval], at) => {
    const node = make(at ? "td" : "th", numeric[at], text);
    if (!at) node.scope = "row";
    if (interval) node.append(" ", make("small", "ci", interval));
    return node;
  };
  const draw = () => {
    const task = $("f-task").value, metric = $("f-metric").value, system = $("f-system").value;
    const wanted = rows.filter(([[a], [b], [t], [m]]) => (!task || t === task) && (!metric || m === metric) && (!system || a === system || b === system));
    table.tBodies[0].replaceChildren(...wanted.map((cells) => {
      const row = make("tr");
      row.append(...cells.map(cell));
      return row;
    }));
    sort(table);
  };
  const distinct = (...places) => [...new Set(places.flatMap((place) => rows.map((row) => row[place][0])))].map((name) => [name, name]);
  const listMetrics = () => {
    const task = $("f-task").value;
    const found = [...new Set(rows.filter((row) => !task || row[2][0] === task).map((row) => row[3][0]))];
    const first = found.find((name) => name.endsWith(" F1")) || found[0];
    fill($("f-metric"), [["", "all"], ...found.map((name) => [name, name])], found.includes($("f-metric").value) ? $("f-metric").value : first);
  };
  fill($("f-task"), [...distinct(2), ["", "all"]]);
  fill($("f-system"), [["", "all"], ...distinct(0, 1)]);
  listMetrics();
  $("f-task").addEventListener("change", () => { listMetrics(); draw(); });
  for (const id of ["f-metric", "f-system"]) $(id).addEventListener("change", draw);
  draw();
};

// ---- sample browser ----
// data: a task; a sample is [id, question, text, gold, gold items, answers], an answer 0 or
// [scores, text, items, invented values, readable]
const state = { data: null, order: [], at: 0, shown: new Set() };
const ROW = 33.6;

const name = (item) => item.join(" · ");
const count = (items) => {
  const counts = new Map();
  for (const item of items) counts.set(JSON.stringify(item), (counts.get(JSON.stringify(item)) || 0) + 1);
  return counts;
};
// the values of an item that can be looked up in the text: all but the label
const values = (item) => (item.length === 3 ? [item[0], item[2]] : item.slice(1)).filter((value) => value.trim());
// items as a multiset against gold: each is right, invented (a value not in the text), or extra; then what was missed
const judge = (gold, parsed, invented) => {
  const left = count(gold), made = new Set(invented), result = [];
  for (const item of parsed) {
    const key = JSON.stringify(item);
    if (left.get(key)) { left.set(key, left.get(key) - 1); result.push(["hit", item]); }
    else result.push([values(item).some((value) => made.has(value)) ? "bad" : "extra", item]);
  }
  for (const item of gold) {
    const key = JSON.stringify(item);
    if (left.get(key)) { left.set(key, left.get(key) - 1); result.push(["miss", item]); }
  }
  return result;
};
const score = (answer) => {
  if (!answer) return null;
  return answer[0][state.data.metrics.indexOf($("b-metric").value)] ?? null;
};
const focusOf = (sample) => sample[5][state.data.systems.indexOf($("b-focus").value)] || null;
const range = (sample) => {
  const shown = sample[5].filter((_, i) => state.shown.has(state.data.systems[i])).map(score).filter((value) => value !== null);
  return shown.length ? [Math.min(...shown), Math.max(...shown)] : null;
};
// small comes first; a sample without the answer or score in question comes last
const rank = (sample) => {
  const answer = focusOf(sample), between = range(sample);
  switch ($("b-sort").value) {
    case "worst": return score(answer) ?? 2;
    case "gap": return between ? between[0] - between[1] : 2;
    case "made": return answer ? -answer[3].length : 1;
    default: return 0;
  }
};
const badge = (sample) => {
  const answer = focusOf(sample), between = range(sample);
  switch ($("b-sort").value) {
    case "made": return answer ? `${answer[3].length} invented` : "no answer";
    case "gap": return between ? `${Math.round(100 * between[0])} to ${Math.round(100 * between[1])}` : "no score";
    default: return score(answer) === null ? "no score" : `${Math.round(100 * score(answer))}`;
  }
};

const arrange = () => {
  const find = $("b-find").value.trim().toLowerCase();
  const fits = ([id, , text]) => !find || id.toLowerCase().includes(find) || text.toLowerCase().includes(find);
  state.order = state.data.samples
    .map((sample, i) => [rank(sample), i, fits(sample)])
    .filter(([, , fit]) => fit)
    .sort((a, b) => a[0] - b[0] || a[1] - b[1])
    .map(([, i]) => i);
  $("b-count").textContent = `${state.order.length} of ${state.data.samples.length} samples`;
  choose(0);
  $("b-list").scrollTop = 0;
};
// only the rows in view exist, so ten thousand samples cost as much as forty
const drawList = () => {
  const list = $("b-list");
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 5);
  const last = Math.min(state.order.length, first + Math.ceil(list.clientHeight / ROW) + 12);
  const spacer = make("div");
  spacer.style.height = `${state.order.length * ROW}px`;
  spacer.setAttribute("role", "presentation");
  const rows = [];
  for (let at = first; at < last; at++) {
    const sample = state.data.samples[state.order[at]];
    const row = make("div");
    row.id = `b-row-${at}`;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(at === state.at));
    row.setAttribute("aria-posinset", String(at + 1));
    row.setAttribute("aria-setsize", String(state.order.length));
    row.style.top = `${at * ROW}px`;
    row.dataset.at = String(at);
    row.append(make("span", "", sample[0]), make("span", "", badge(sample)));
    rows.push(row);
  }
  list.replaceChildren(spacer, ...rows);
  list.setAttribute("aria-activedescendant", `b-row-${state.at}`);
};
const choose = (at) => {
  state.at = Math.max(0, Math.min(at, state.order.length - 1));
  const list = $("b-list");
  const top = state.at * ROW;
  if (top < list.scrollTop) list.scrollTop = top;
  if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  drawList();
  drawDetail();
};

// each character gets a set of classes, then runs of equal classes become one <mark>
const paint = (text, groups) => {
  const classes = new Array(text.length).fill("");
  for (const [className, strings] of groups) {
    for (const string of new Set(strings)) {
      if (!string) continue;
      for (let from = text.indexOf(string); from >= 0; from = text.indexOf(string, from + string.length)) {
        for (let i = from; i < from + string.length; i++) if (!classes[i].split(" ").includes(className)) classes[i] = (classes[i] + " " + className).trim();
      }
    }
  }
  const nodes = [];
  for (let start = 0; start < text.length; ) {
    let end = start + 1;
    while (end < text.length && classes[end] === classes[start]) end++;
    const piece = text.slice(start, end);
    nodes.push(classes[start] ? make("mark", classes[start], piece) : document.createTextNode(piece));
    start = end;
  }
  return nodes;
};
const drawDetail = () => {
  const detail = $("b-detail"), { data } = state, at = state.order[state.at];
  if (at === undefined) { detail.replaceChildren(make("p", "note", "No sample fits.")); return; }
  const [id, question, text, gold, goldItems, answers] = data.samples[at];
  const focus = answers[data.systems.indexOf($("b-focus").value)];
  const source = make("div", "text");
  source.tabIndex = 0;
  source.append(...paint(text, [["g", goldItems.flatMap(values)], ["a", focus ? focus[2].flatMap(values) : []]]));
  const legend = make("div", "legend");
  for (const [className, words] of [["g a", "gold and answered"], ["g", "gold, not answered"], ["a", "answered, not gold"]]) {
    const entry = make("span");
    entry.append(make("mark", className, words));
    legend.append(entry);
  }
  const asked = make("details");
  asked.append(make("summary", "", "Question"), make("pre", "text", data.questions[question]));
  const cards = make("div", "answers");
  cards.append(goldCard(gold, goldItems));
  for (const [i, system] of data.systems.entries()) {
    if (state.shown.has(system)) cards.append(card(system, answers[i], goldItems));
  }
  detail.replaceChildren(make("h3", "", id), legend, source, asked, cards);
  detail.dataset.sample = id;
};
const goldCard = (gold, items) => {
  const box = make("article", "card");
  const list = make("ul");
  list.append(...items.map((item) => make("li", "", name(item))));
  const raw = make("details");
  raw.append(make("summary", "", "As text"), make("pre", "", gold));
  box.append(make("h4", "", "Gold"), make("div", "scores", `${items.length} items`), list, raw);
  return box;
};
const card = (system, answer, gold) => {
  const box = make("article", "card");
  box.dataset.system = system;
  box.append(make("h4", "", system));
  if (!answer) { box.append(make("span", "warn", "no answer for this sample")); return box; }
  const [scores, text, parsed, invented, readable] = answer;
  const told = state.data.metrics.map((metric, i) => (scores[i] === null ? "" : `${metric} ${(100 * scores[i]).toFixed(0)}`)).filter(Boolean);
  box.append(make("div", "scores", told.join(", ")));
  const judged = judge(gold, parsed, invented);
  if (!text.trim()) box.append(make("span", "warn", "empty answer"));
  else if (!readable) box.append(make("span", "warn", "unreadable: not the format that was asked for"));
  const list = make("ul");
  for (const [kind, item] of judged) {
    const row = make("li", kind, name(item));
    row.title = { hit: "in the gold", extra: "not in the gold", bad: "not in the source text", miss: "missed" }[kind];
    list.append(row);
  }
  box.append(list);
  const raw = make("details");
  raw.open = !readable;
  const pre = make("pre");
  const of = (kind) => judged.filter(([k]) => k === kind).flatMap(([, item]) => values(item));
  const right = new Set(of("hit"));
  pre.append(...paint(text, [["g", [...right]], ["a", [...right]], ["h", invented], ["a", of("extra").filter((value) => !right.has(value))]]));
  raw.append(make("summary", "", "As answered"), pre);
  box.append(raw);
  return box;
};

const open = (data) => {
  state.data = data;
  const { systems, metrics } = data;
  const known = new Set(systems);
  state.shown = new Set([...state.shown].filter((system) => known.has(system)));
  if (!state.shown.size) {
    const last = systems[systems.length - 1];
    const first = systems.find((system) => /untuned/.test(system));
    state.shown = new Set([first || systems[Math.max(0, systems.length - 2)], last]);
  }
  fill($("b-metric"), metrics.map((metric) => [metric, metric]), $("b-metric").value || undefined);
  const f1 = metrics.find((metric) => metric.endsWith("_f1"));
  if (f1) $("b-metric").value = f1;
  fill($("b-focus"), systems.map((system) => [system, system]), [...state.shown].pop());
  $("b-systems").replaceChildren(...systems.map((system) => {
    const label = make("label");
    const box = make("input");
    box.type = "checkbox";
    box.value = system;
    box.checked = state.shown.has(system);
    label.append(box, document.createTextNode(system));
    return label;
  }));
  arrange();
};
const browse = (tasks) => {
  $("browser").hidden = false;
  fill($("b-task"), Object.keys(tasks).map((task) => [task, task]));
  $("b-task").addEventListener("change", () => open(tasks[$("b-task").value]));
  for (const id of ["b-sort", "b-metric"]) $(id).addEventListener("change", arrange);
  $("b-focus").addEventListener("change", () => {
    const system = $("b-focus").value;
    state.shown.add(system);
    for (const box of $("b-systems").querySelectorAll("input")) box.checked = state.shown.has(box.value);
    arrange();
  });
  $("b-find").addEventListener("input", arrange);
  $("b-systems").addEventListener("change", (event) => {
    if (event.target.checked) state.shown.add(event.target.value);
    else state.shown.delete(event.target.value);
    arrange();
  });
  const list = $("b-list");
  list.addEventListener("scroll", drawList);
  list.addEventListener("click", (event) => {
    const row = event.target.closest("[data-at]");
    if (row) choose(Number(row.dataset.at));
  });
  list.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
    const move = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    choose(move === -Infinity ? 0 : move === Infinity ? state.order.length - 1 : state.at + move);
  });
  open(tasks[$("b-task").value]);
};
// after the first paint, so that the verdict is on the screen before any answer is read
setTimeout(() => {
  const { tasks, pairs } = JSON.parse($("packed").textContent);
  if (pairs.length) comparisons(pairs);
  if (Object.keys(tasks).length) browse(tasks);
}, 0);
