"use strict";
// The page: asks the service what it offers, sends a text, shows the answer. Everything that is shown is set as text.
const $ = (id) => document.getElementById(id);
const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};
const EXAMPLES = {
  "zh-TW": "林靖雯於2019年進入臺灣大學醫學院任教，主要研究睡眠與記憶。她的團隊位於台北市，2022年與台北榮民總醫院合作，發現規律睡眠可以降低失智症風險。",
  "en": "Grace Lin joined the medical school of National Taiwan University in 2019 and studies sleep and memory. In 2022 her team in Taipei found that regular sleep lowers the risk of dementia.",
};
const KEYS = {"zh-TW": "人物, 時間, 組織", "en": "person, date, organisation"};
let about = null;

const say = (text, bad) => {
  $("state").textContent = text;
  $("state").className = bad ? "error" : "";
};
const ask = async (path, body) => {
  const headers = {"Content-Type": "application/json"};
  if ($("key").value) headers.Authorization = `Bearer ${$("key").value}`;
  let answer;
  try {
    answer = await fetch(path, body ? {method: "POST", headers, body: JSON.stringify(body)} : {headers});
  } catch {
    throw new Error("The service cannot be reached.");
  }
  const made = await answer.json().catch(() => ({error: `The service answered ${answer.status}.`}));
  if (answer.ok) return made;
  if (answer.status === 401) {
    $("key-label").hidden = false;
    $("key").focus();
  }
  throw new Error(made.error);
};

const options = (select, pairs) => select.replaceChildren(...pairs.map(([value, text]) => {
  const option = make("option", "", text);
  option.value = value;
  return option;
}));
const task = () => about.tasks.find(({name}) => name === $("task").value);
const load = async () => {
  try {
    about = await ask("v1/tasks");
  } catch (error) {
    say(error.message, true);
    return;
  }
  options($("task"), about.tasks.map(({name, title}) => [name, `${name}: ${title}`]));
  options($("system"), about.systems.map((name) => [name, name]));
  $("system-label").hidden = about.systems.length < 2;
  say("");
  chosen();
  count();
};
const chosen = () => {
  $("keys-label").hidden = !task().needs_keys;
};
const count = () => {
  const most = about ? ` of ${about.limits.chars.toLocaleString("en")}` : "";
  $("count").textContent = `${Array.from($("text").value).length.toLocaleString("en")}${most} characters`;
};

// ---- the answer ----
const hues = (values) => new Map([...new Set(values.map(({label}) => label))].map((label, n) => [label, `h${n % 8}`]));

// offsets count code points, so the text is cut as an array of them; where values overlap, each piece names all of them
const markedPieces = (text, values, hue) => {
  const characters = Array.from(text);
  const found = values.flatMap((value) => {
    const spans = value.fragments.length ? value.fragments : value.span ? [value.span] : [];
    return spans.map((span) => ({...value, span}));
  });
  const cuts = [...new Set([0, characters.length, ...found.flatMap(({span}) => span)])].sort((a, b) => a - b);
  return cuts.slice(1).map((end, n) => {
    const start = cuts[n], piece = characters.slice(start, end).join("");
    const over = found.filter(({span}) => span[0] <= start && end <= span[1]).sort((a, b) => (a.span[1] - a.span[0]) - (b.span[1] - b.span[0]));
    if (!over.length) return document.createTextNode(piece);
    const mark = make("mark", hue.get(over[0].label), piece);
    const labels = [...new Set(over.map(({label}) => label))];
    mark.title = labels.join(", ");
    const ends = over.filter(({span}) => span[1] === end).map(({label}) => label);
    if (ends.length) mark.dataset.label = [...new Set(ends)].join(", ");
    return mark;
  });
};
const showLegend = (values, hue) => $("legend").replaceChildren(...[...hue].map(([label, className]) => {
  const item = make("li");
  item.append(make("span", className, label), ` ${values.filter((value) => value.label === label).length}`);
  return item;
}));
const showValues = (values, hue) => $("values").tBodies[0].replaceChildren(...values.map(({label, text, span}) => {
  const row = make("tr"), cell = make("td");
  cell.append(make("span", `tag ${hue.get(label)}`, label));
  row.append(cell, make("td", "", text), make("td", span ? "" : "lost", span ? `${span[0]}–${span[1]}` : "not in the text"));
  return row;
}));
const showProblems = (problems) => {
  const part = $("problems-part");
  part.hidden = !problems.length;
  part.open = problems.length < 4;
  part.querySelector("summary").textContent = problems.length === 1 ? "1 problem of the answer" : `${problems.length} problems of the answer`;
  $("problems").replaceChildren(...problems.map((problem) => make("li", "", problem)));
};
const showGraph = (triples) => {
  $("graph-part").hidden = !triples.length;
  if (triples.length) drawGraph(triples, $("graph"));
};
const curl = (body) => {
  const quoted = JSON.stringify(body).replaceAll("'", "'\\''");
  const key = $("key").value ? " -H \"Authorization: Bearer $ETLCH_API_KEY\"" : "";
  return `curl ${new URL("v1/extract", location.href)}${key} -H 'Content-Type: application/json' -d '${quoted}'`;
};
const show = (reply, body) => {
  const json = JSON.stringify(reply, null, 2).replace(/\[\s+(\d+),\s+(\d+)\s+\]/g, "[$1, $2]");
  for (const value of reply.values) value.label ||= "term";  // an end of a triple
  const hue = hues(reply.values);
  showLegend(reply.values, hue);
  $("marked").replaceChildren(...markedPieces(body.text, reply.values, hue));
  showGraph(reply.triples.map(({head, relation, tail}) => ({head: head.text, relation, tail: tail.text})));
  showValues(reply.values, hue);
  showProblems(reply.problems);
  $("json").textContent = json;
  $("curl").textContent = curl(body);
  $("result").hidden = false;
};

const busy = (on) => {
  $("go").setAttribute("aria-disabled", on);
  $("result").setAttribute("aria-busy", on);
};
const extract = async () => {
  if ($("go").getAttribute("aria-disabled") === "true") return;
  if (!about) await load();
  if (!about) return;
  const body = {text: $("text").value, task: $("task").value, system: $("system").value};
  if (task().needs_keys) body.keys = $("keys").value.split(/[,，、]/).map((key) => key.trim()).filter(Boolean);
  busy(true);
  say("Reading …");
  const began = performance.now();
  try {
    const reply = await ask("v1/extract", body);
    show(reply, body);
    const found = `${reply.values.length} value${reply.values.length === 1 ? "" : "s"}`;
    say(`${found}, answer ${reply.status}, ${((performance.now() - began) / 1000).toFixed(2)} s`);
  } catch (error) {
    $("result").hidden = true;
    say(error.message, true);
  }
  busy(false);
};

$("form").addEventListener("submit", (event) => { event.preventDefault(); extract(); });
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) extract();
});
$("text").addEventListener("input", count);
$("task").addEventListener("change", chosen);
$("key").addEventListener("change", load);
$("example").addEventListener("click", () => {
  const language = about && EXAMPLES[task().language] ? task().language : "zh-TW";
  $("text").value = EXAMPLES[language];
  if (about && task().needs_keys && !$("keys").value) $("keys").value = KEYS[language];
  count();
  $("text").focus();
});
count();
load();
