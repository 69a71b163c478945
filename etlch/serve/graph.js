"use strict";
// Triples as a graph: drawGraph([{head, relation, tail}], box) puts an SVG into box. Positions come from a spring layout
// that starts on a circle and uses no chance, so that the same triples always look the same.
const SVG = "http://www.w3.org/2000/svg";
const WIDE = 900, MOST_NODES = 80;

const shape = (tag, attributes, text) => {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
};
const short = (text, most) => {
  const characters = Array.from(text);
  return characters.length > most ? characters.slice(0, most - 1).join("") + "…" : text;
};

// Fruchterman and Reingold 1991, with a pull to the middle that keeps parts without a link together
const layout = (names, edges, wide, high) => {
  const at = new Map(names.map((name, n) => {
    const angle = 2 * Math.PI * n / names.length + 0.3;
    return [name, {x: wide / 3 * Math.cos(angle), y: high / 3 * Math.sin(angle)}];
  }));
  const ideal = 0.8 * Math.sqrt(wide * high / names.length);
  for (let step = 0; step < 400; step++) {
    const moves = new Map(names.map((name) => [name, {x: -at.get(name).x * 0.1, y: -at.get(name).y * 0.2}]));
    const push = (a, b, force) => {
      const dx = at.get(a).x - at.get(b).x || 0.01, dy = at.get(a).y - at.get(b).y || 0.01;
      const far = Math.hypot(dx, dy), strength = force(far) / far;
      moves.get(a).x += dx * strength; moves.get(a).y += dy * strength;
      moves.get(b).x -= dx * strength; moves.get(b).y -= dy * strength;
    };
    for (let a = 0; a < names.length; a++)
      for (let b = a + 1; b < names.length; b++) push(names[a], names[b], (far) => far < 2 * ideal ? ideal * ideal / far : 0);
    for (const {head, tail} of edges) if (head !== tail) push(head, tail, (far) => -far * far / ideal);
    const most = wide / 10 * (1 - step / 400) + 0.5;
    for (const name of names) {
      const move = moves.get(name), size = Math.hypot(move.x, move.y) || 1, place = at.get(name);
      place.x += move.x / size * Math.min(size, most);
      place.y += move.y / size * Math.min(size, most);
    }
  }
  fit([...at.values()], "x", 90, wide - 90);
  fit([...at.values()], "y", 48, high - 36);
  return at;
};
const fit = (places, axis, low, high) => {
  const values = places.map((place) => place[axis]);
  const least = Math.min(...values), range = Math.max(...values) - least;
  for (const place of places) place[axis] = range ? low + (place[axis] - least) / range * (high - low) : (low + high) / 2;
};

// several relations between the same two nodes share a line, one below the other
const merged = (triples) => {
  const edges = new Map();
  for (const {head, relation, tail} of triples) {
    const key = JSON.stringify([head, tail]);
    if (!edges.has(key)) edges.set(key, {head, tail, relations: []});
    edges.get(key).relations.push(relation);
  }
  return [...edges.values()];
};

const drawEdge = (svg, {head, tail, relations}, at, both) => {
  const a = at.get(head), b = at.get(tail);
  const label = relations.map((relation) => short(relation, 20)).join("、");
  const title = shape("title", {}, relations.map((relation) => `${head} – ${relation} – ${tail}`).join("\n"));
  if (head === tail) {
    const loop = shape("path", {d: `M${a.x - 6} ${a.y - 6}c-30 -40 42 -40 12 0`, "marker-end": "url(#arrow)"});
    svg.append(loop, shape("text", {x: a.x, y: a.y - 38, "text-anchor": "middle", class: "edge"}, label));
    loop.append(title);
    return;
  }
  const dx = b.x - a.x, dy = b.y - a.y, far = Math.hypot(dx, dy) || 1;
  const bend = both ? 26 : 0, mx = (a.x + b.x) / 2 - dy / far * bend, my = (a.y + b.y) / 2 + dx / far * bend;
  const end = {x: b.x - (b.x - mx) / Math.hypot(b.x - mx, b.y - my) * 12, y: b.y - (b.y - my) / Math.hypot(b.x - mx, b.y - my) * 12};
  const line = shape("path", {d: `M${a.x} ${a.y}Q${mx} ${my} ${end.x} ${end.y}`, "marker-end": "url(#arrow)"});
  line.append(title);
  svg.append(line, shape("text", {x: (a.x + b.x + 2 * mx) / 4, y: (a.y + b.y + 2 * my) / 4, "text-anchor": "middle", class: "edge"}, label));
};

const drawGraph = (triples, box) => {
  const names = [...new Set(triples.flatMap(({head, tail}) => [head, tail]))].slice(0, MOST_NODES);
  const edges = merged(triples.filter(({head, tail}) => names.includes(head) && names.includes(tail)));
  const high = Math.min(900, 160 + 20 * names.length);
  const at = layout(names, edges, WIDE, high);
  const svg = shape("svg", {viewBox: `0 0 ${WIDE} ${high}`, role: "img", "aria-label": `Graph of ${triples.length} triples; the table below lists them`});
  const arrow = shape("marker", {id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse"});
  arrow.append(shape("path", {d: "M0 0L8 4L0 8z"}));
  svg.append(arrow);
  const pairs = new Set(edges.map(({head, tail}) => JSON.stringify([head, tail])));
  for (const edge of edges) drawEdge(svg, edge, at, pairs.has(JSON.stringify([edge.tail, edge.head])));
  for (const name of names) {
    const {x, y} = at.get(name), node = shape("g", {});
    node.append(shape("title", {}, name), shape("circle", {cx: x, cy: y, r: 5}), shape("text", {x, y: y + 20, "text-anchor": "middle"}, short(name, 16)));
    svg.append(node);
  }
  box.replaceChildren(svg);
};
