// ---------------------------------------------------------------- cards
let painter = gpuPainter() || plainPainter();
const dirty = new Set();
const cards = all(".card").map((root, i) => {
  const cloud = page.clouds[i], last = cloud.steps.length - 1;
  return { root, cloud, last, state: last, seen: false, canvas: root.querySelector("canvas"),
    slider: root.querySelector(".player input"), label: root.querySelector(".player output"),
    button: root.querySelector(".player button"), view: { ...page.camera, zoom: 1, size: 1, least: 0 } };
});
const together = document.getElementById("together");

function draw(card) {
  const shape = card.canvas.getBoundingClientRect(), dense = Math.min(2, devicePixelRatio || 1);
  const width = Math.round(shape.width * dense), height = Math.round(shape.height * dense);
  if (!width || !height || !card.cloud.ready) return;
  if (card.canvas.width !== width || card.canvas.height !== height) Object.assign(card.canvas, { width, height });
  const fine = width > 1400 || (width > 700 && (card.held || playing.has(card))) ? 1 : 2; // a large moving picture
  if (!painter(card.canvas, card.cloud, card.state, card.view, fine)) {
    painter = plainPainter();
    painter(card.canvas, card.cloud, card.state, card.view);
  }
}

let waiting = false;
function paintSome() {
  waiting = false;
  const until = performance.now() + 24;
  for (const card of dirty) {
    if (!card.seen) continue;
    dirty.delete(card);
    draw(card);
    if (performance.now() > until) break;
  }
  touch([]);
}

function touch(some) {
  for (const card of some) dirty.add(card);
  if (waiting || ![...dirty].some((card) => card.seen)) return;
  waiting = true;
  requestAnimationFrame(paintSome);
}

function change(card, how) {
  const some = together && together.checked && !card.root.classList.contains("large") ? cards : [card];
  for (const each of some) how(each.view);
  touch(some);
}

function show(card, state) {
  card.state = Math.max(0, Math.min(card.last, state));
  if (card.slider) {
    card.slider.value = card.state;
    card.slider.style.setProperty("--fill", `${100 * card.state / card.last}%`);
    card.label.value = card.cloud.steps[card.state];
  }
  touch([card]);
}

const home = (view) => Object.assign(view, page.camera, { zoom: 1 });

const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const card = cards.find((each) => each.root === entry.target);
    card.seen = entry.isIntersecting;
    if (card.seen) load(card).then(() => touch([card]));
  }
}, { rootMargin: "200px" });
const load = async (card) => { card.cloud.ready = card.cloud.ready || await unpack(card.cloud); };
new ResizeObserver(() => touch(cards)).observe(document.body);
addEventListener("resize", () => touch(cards)); // an enlarged card is as high as the window

for (const card of cards) {
  observer.observe(card.root);
  if (card.slider) card.slider.addEventListener("input", () => { stop(card); show(card, +card.slider.value); });
  if (card.button) card.button.addEventListener("click", () => (playing.has(card) ? stop(card) : play([card])));
  turnable(card.canvas, {
    change: (how) => change(card, how),
    home,
    hold: (held) => { card.held = held; if (!held) touch([card]); },
    keys: { Enter: () => enlarge(card.root), ...(card.button && { " ": () => card.button.click() }) },
  });
  card.root.addEventListener("resized", () => touch([card]));
}

// ---------------------------------------------------------------- playing the snapshots
const playing = new Map();
const playAll = document.getElementById("play"), scrub = document.getElementById("scrub");

function play(some) {
  for (const card of some) {
    playing.set(card, { from: card.state === card.last ? 0 : card.state, since: null });
    card.button.setAttribute("aria-pressed", "true");
  }
  requestAnimationFrame(tick);
}

function stop(card) {
  if (!playing.delete(card)) return;
  touch([card]);
  card.button.setAttribute("aria-pressed", "false");
  if (playAll && !playing.size) playAll.setAttribute("aria-pressed", "false");
}

function tick(now) {
  for (const [card, run] of playing) {
    run.since ??= now;
    const state = run.from + Math.floor((now - run.since) / Math.max(70, 3000 / card.last));
    if (state !== card.state) show(card, state);
    if (state >= card.last) stop(card);
  }
  if (scrub && playAll.getAttribute("aria-pressed") === "true") {
    const lead = cards.find((card) => playing.has(card));
    fill(scrub, lead ? lead.state / lead.last : 1);
  }
  if (playing.size) requestAnimationFrame(tick);
}

const fill = (slider, share) => {
  slider.value = share * slider.max;
  slider.style.setProperty("--fill", `${100 * share}%`);
};
const moving = cards.filter((card) => card.last > 0);
if (playAll) {
  playAll.addEventListener("click", () => {
    const running = playAll.getAttribute("aria-pressed") === "true";
    moving.forEach(stop);
    if (running) return;
    if (+scrub.value >= +scrub.max) moving.forEach((card) => show(card, 0));
    playAll.setAttribute("aria-pressed", "true");
    play(moving);
  });
  scrub.addEventListener("input", () => {
    fill(scrub, scrub.value / scrub.max);
    for (const card of moving) { stop(card); show(card, Math.round(scrub.value / scrub.max * card.last)); }
  });
}
for (const [id, set] of [["size", (view, value) => { view.size = 2 ** value; }],
  ["least", (view, value) => { view.least = +value; }]]) {
  const slider = document.getElementById(id);
  if (!slider) continue;
  const slide = () => {
    slider.style.setProperty("--fill", `${100 * (slider.value - slider.min) / (slider.max - slider.min)}%`);
    for (const card of cards) set(card.view, slider.value);
    touch(cards);
  };
  slider.addEventListener("input", slide);
  slide();
}

// ---------------------------------------------------------------- traces, theme, print
const figures = all(".trace").map((root) => ({ root, svg: root.querySelector("svg"), label: root.querySelector("output"),
  cursor: root.querySelector(".cursor"), dot: root.querySelector(".dot"), rest: root.querySelector("output").value,
  ...JSON.parse(root.dataset.trace) }));
function point(share) {
  for (const figure of figures) {
    const { x, y, steps, values, label, cursor, dot } = figure;
    const goal = share === null ? Infinity : steps[0] + share * (steps[steps.length - 1] - steps[0]);
    let i = steps.findIndex((step) => step >= goal);
    if (i < 0) i = values.length - 1;
    if (share === null) while (i > 0 && values[i] === null) i--;
    cursor.style.visibility = share === null ? "hidden" : "visible";
    label.value = share === null ? figure.rest : `step ${steps[i]}: ${values[i] === null ? "not finite" : +values[i].toPrecision(4)}`;
    cursor.setAttribute("transform", `translate(${x[i]} 0)`);
    dot.setAttribute("transform", `translate(${x[i]} ${y[i] ?? -99})`);
  }
}
for (const { svg } of figures) {
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect(), left = 46, right = 332; // the plot, as in run.html.j2
    const at = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    point(Math.max(0, Math.min(1, (at - left) / (right - left))));
  });
  svg.addEventListener("pointerleave", () => point(null));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => touch(cards));
addEventListener("beforeprint", () => cards.forEach(draw));
addEventListener("load", async () => { for (const card of cards) await load(card); });
