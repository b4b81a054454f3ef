// Scenes of boxes: a few hundred lines and some thousand points each, which a 2-D canvas draws sharp and at once.
// Meters, x to the right, y forward, z up, the camera above the origin.
const FOCUS = { Above: [-90, 89], Behind: [-90, 14], Side: [-8, 12] };
const shown = { found: "inverted", truth: true, points: true };
const scenes = all(".scene").map((root, i) => {
  const scene = page.scenes[i], card = root.querySelector(".card");
  return { root, scene, card, canvas: root.querySelector("canvas"), view: { ...page.camera, zoom: 1 }, marked: 0 };
});
const css = (paint, alpha = 1) => `rgba(${paint.map((c) => Math.round(255 * c))}, ${alpha})`;

// What turns a place in space into one on the canvas: across, down, and how far it is toward the eye.
function lens(item) {
  const { canvas, scene, view } = item, m = axes(view), eye = 3 * scene.reach;
  const pixels = Math.min(canvas.width / 1.75, canvas.height / 1.3) * view.zoom / scene.reach;
  const turned = (p) => {
    const [x, y, z] = [p[0] - scene.center[0], p[1] - scene.center[1], p[2] - scene.center[2]];
    return [0, 3, 6].map((r) => m[r] * x + m[r + 1] * y + m[r + 2] * z);
  };
  const flat = ([x, y, z]) => {
    const scale = pixels / (1 - z / eye);
    return [canvas.width / 2 + x * scale, canvas.height / 2 - y * scale, z];
  };
  return { turned, flat, near: 0.9 * eye };
}

// A way through places in space, cut where it comes too near the eye: lists of places on the canvas.
function cut(through, { turned, flat, near }) {
  const runs = [];
  let run = [], last = null;
  for (const place of through.map(turned)) {
    if (last && (last[2] < near) !== (place[2] < near)) {
      const share = (near - last[2]) / (place[2] - last[2]);
      const edge = flat(last.map((value, c) => value + share * (place[c] - value)));
      if (place[2] < near) run = [edge]; else { run.push(edge); runs.push(run); run = []; }
    }
    if (place[2] < near) run.push(flat(place));
    last = place;
  }
  return run.length > 1 ? [...runs, run] : runs;
}

function stroke(flat, runs, style, width, filled = false) {
  flat.beginPath();
  for (const run of runs) run.forEach(([x, y], i) => (i ? flat.lineTo(x, y) : flat.moveTo(x, y)));
  if (filled) { flat.fillStyle = style; flat.fill(); return; }
  flat.strokeStyle = style;
  flat.lineWidth = width;
  flat.stroke();
}

function ground(flat, item, sight, dense) {
  const { scene } = item, line = css(color("--line")), muted = css(color("--muted"), 0.6);
  const [left, right, back, front] = scene.field;
  for (let x = left; x <= right; x += 10) stroke(flat, cut([[x, back, 0], [x, front, 0]], sight), line, dense);
  for (let y = back; y <= front; y += 10) stroke(flat, cut([[left, y, 0], [right, y, 0]], sight), line, dense);
  flat.fillStyle = css(color("--muted"));
  flat.font = `${11 * dense}px system-ui, "DejaVu Sans", sans-serif`;
  flat.textAlign = "left";
  for (let y = 20; y <= front; y += 20) for (const run of cut([[right, y, 0], [right + 0.1, y, 0]], sight)) {
    flat.fillText(`${y} m`, run[0][0] + 5 * dense, run[0][1] + 4 * dense);
  }
  for (const side of scene.sides) stroke(flat, cut([[0, 0, 0], side], sight), muted, dense);
  if (!scene.eye.length) return; // nothing is known of the camera
  const [top, ...corners] = scene.eye;
  stroke(flat, cut([...corners, corners[0]], sight), muted, 1.2 * dense);
  for (const corner of corners) stroke(flat, cut([top, corner], sight), muted, 1.2 * dense);
}

function cloud(flat, item, { turned, flat: place, near }, dense) {
  const { points, unit } = item.scene.cloud, size = 1.15 * dense;
  flat.fillStyle = css(color("--ink"), 0.4);
  for (let i = 0; i < points.length; i += 3) {
    const p = turned([points[i] * unit, points[i + 1] * unit, points[i + 2] * unit]);
    if (p[2] >= near) continue;
    const [x, y] = place(p);
    flat.fillRect(x, y, size, size);
  }
}

const EDGES = [[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7]];
const FRONT = [0, 1, 5, 4];
function boxes(flat, item, sight, dense) {
  const { scene, marked } = item, parts = [];
  for (const name of ["truth", shown.found]) {
    if (name === "truth" && !shown.truth) continue;
    for (const box of scene.boxes[name] || []) {
      const dim = marked && box.number !== marked ? 0.22 : 1, strong = name !== "truth";
      const add = (through, width, alpha, filled) => {
        const far = through.map(sight.turned).reduce((sum, p) => sum + p[2], 0) / through.length;
        parts.push({ far: far + (filled ? -0.01 : 0), width, filled, runs: cut(through, sight), style: css(box.color, alpha * dim) });
      };
      const wide = (strong ? 2.4 : 1.1) * (dim === 1 && marked ? 1.5 : 1) * dense;
      for (const [a, b] of EDGES) add([box.corners[a], box.corners[b]], wide, strong ? 1 : 0.9);
      const front = FRONT.map((i) => box.corners[i]);
      if (strong) add([...front, front[0]], 0, 0.42, true);
      else for (const [a, b] of [[0, 5], [1, 4]]) add([box.corners[a], box.corners[b]], 0.7 * dense, 0.8);
    }
  }
  flat.lineCap = "round";
  for (const part of parts.sort((a, b) => a.far - b.far)) stroke(flat, part.runs, part.style, part.width, part.filled);
}

function numbers(flat, item, sight, dense) {
  const done = new Set(), { scene, marked } = item;
  flat.font = `600 ${11.5 * dense}px system-ui, "DejaVu Sans", sans-serif`;
  flat.textAlign = "center";
  flat.lineJoin = "round";
  for (const name of ["truth", shown.found]) for (const box of (name !== "truth" || shown.truth) && scene.boxes[name] || []) {
    if (done.has(box.number) || (marked && marked !== box.number)) continue;
    done.add(box.number);
    const tip = [0, 1, 2].map((c) => (box.corners[4][c] + box.corners[6][c]) / 2);
    const seen = sight.turned([tip[0], tip[1], tip[2] + 0.2]);
    if (seen[2] >= sight.near) continue;
    const [x, y] = sight.flat(seen);
    flat.strokeStyle = css(color("--surface"));
    flat.lineWidth = 4 * dense;
    flat.strokeText(box.number, x, y - 3 * dense);
    flat.fillStyle = css(color("--ink"));
    flat.fillText(box.number, x, y - 3 * dense);
  }
}

function paint(item) {
  const { canvas, scene } = item, shape = canvas.getBoundingClientRect(), dense = Math.min(2, devicePixelRatio || 1);
  const width = Math.round(shape.width * dense), height = Math.round(shape.height * dense);
  if (!width || !height) return;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const flat = canvas.getContext("2d"), sight = lens(item);
  flat.clearRect(0, 0, width, height);
  ground(flat, item, sight, dense);
  if (scene.cloud && scene.cloud.points && shown.points) cloud(flat, item, sight, dense);
  boxes(flat, item, sight, dense);
  numbers(flat, item, sight, dense);
}

const waiting = new Set();
function touch(some) {
  if (!waiting.size && some.length) requestAnimationFrame(() => { waiting.forEach(paint); waiting.clear(); });
  for (const item of some) waiting.add(item);
}

async function load(item) {
  const packed = item.scene.cloud;
  if (packed && !packed.points) packed.points = new Int16Array((await inflated(packed.places)).buffer);
  touch([item]);
}

const home = (view) => Object.assign(view, page.camera, { zoom: 1 });
for (const item of scenes) {
  turnable(item.canvas, {
    change: (how) => { how(item.view); touch([item]); },
    home,
    hold: () => {},
    keys: { Enter: () => enlarge(item.card) },
  });
  item.card.addEventListener("resized", () => touch([item]));
  all("tbody tr", item.root.parentElement).forEach((row, i) => {
    row.addEventListener("pointerenter", () => { item.marked = i + 1; touch([item]); });
    row.addEventListener("pointerleave", () => { item.marked = 0; touch([item]); });
  });
  load(item);
}
for (const [id, part] of [["truth", "truth"], ["points", "points"]]) {
  const box = document.getElementById(id);
  if (box) box.addEventListener("change", () => { shown[part] = box.checked; touch(scenes); });
}
for (const choice of all("input[name=found]")) {
  choice.addEventListener("change", () => { shown.found = choice.value; touch(scenes); });
  if (choice.checked) shown.found = choice.value;
}
for (const button of all(".view")) button.addEventListener("click", () => {
  const [azimuth, elevation] = FOCUS[button.dataset.view];
  for (const item of scenes) Object.assign(item.view, { azimuth, elevation });
  touch(scenes);
});
new ResizeObserver(() => touch(scenes)).observe(document.body);
addEventListener("resize", () => touch(scenes)); // an enlarged card is as high as the window
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => touch(scenes));
addEventListener("beforeprint", () => scenes.forEach(paint));
