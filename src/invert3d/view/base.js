"use strict";
// What every page begins with: its data, its colors, and pictures that are turned, zoomed and enlarged.
const page = JSON.parse(document.getElementById("data").textContent);
const all = (query, root = document) => [...root.querySelectorAll(query)];
const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const inflated = async (text) => {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};
const color = (name) => {
  const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255);
};

function axes(view) {
  const a = view.azimuth * Math.PI / 180, e = view.elevation * Math.PI / 180;
  const [ca, sa, ce, se] = [Math.cos(a), Math.sin(a), Math.cos(e), Math.sin(e)];
  return [-sa, ca, 0, -se * ca, -se * sa, ce, ce * ca, ce * sa, se]; // rows: right, up, toward the eye
}

const turn = (view, right, up) => {
  view.azimuth -= right;
  view.elevation = Math.max(-89, Math.min(89, view.elevation + up));
};
const zoom = (view, factor) => { view.zoom = Math.max(0.4, Math.min(8, view.zoom * factor)); };

// A canvas that is turned: `change` is given a function of the view, `home` resets one, `hold` says whether a finger or
// button is down, `keys` are further keys.
function turnable(canvas, { change, home, hold, keys = {} }) {
  const held = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, [event.clientX, event.clientY]);
    hold(true);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!held.has(event.pointerId)) return;
    const [x, y] = held.get(event.pointerId), other = [...held].find(([id]) => id !== event.pointerId);
    held.set(event.pointerId, [event.clientX, event.clientY]);
    if (!other) return change((view) => turn(view, (event.clientX - x) * 0.5, (event.clientY - y) * 0.5));
    const apart = (a, b) => Math.hypot(a - other[1][0], b - other[1][1]) + 1;
    change((view) => zoom(view, apart(event.clientX, event.clientY) / apart(x, y)));
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => {
    held.delete(event.pointerId);
    hold(held.size > 0);
  });
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas && !event.ctrlKey) return; // a page must scroll past its pictures
    event.preventDefault();
    change((view) => zoom(view, Math.exp(-event.deltaY * 0.0015)));
  }, { passive: false });
  canvas.addEventListener("dblclick", () => change(home));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowUp: [0, 8], ArrowDown: [0, -8] }[event.key];
    if (step) change((view) => turn(view, ...step));
    else if (event.key === "+" || event.key === "=") change((view) => zoom(view, 1.15));
    else if (event.key === "-") change((view) => zoom(view, 1 / 1.15));
    else if (event.key === "0") change(home);
    else if (keys[event.key]) keys[event.key]();
    else return;
    event.preventDefault();
  });
}

// A card that its button, the key Enter and Escape make as large as the window and small again.
function enlarge(root, close = root.classList.contains("large")) {
  root.classList.toggle("large", !close);
  root.querySelector(".enlarge").setAttribute("aria-pressed", String(!close));
  document.body.style.overflow = close ? "" : "hidden";
  root.querySelector("canvas").focus({ preventScroll: true });
  root.dispatchEvent(new Event("resized"));
}
for (const button of all(".enlarge")) button.addEventListener("click", () => enlarge(button.closest(".card")));
document.addEventListener("keydown", (event) => {
  const root = event.key === "Escape" && document.querySelector(".card.large");
  if (root) enlarge(root, true);
});
for (const button of all(".copy")) {
  button.addEventListener("click", async () => {
    const text = document.getElementById("recipe");
    try { await navigator.clipboard.writeText(text.textContent); } catch {
      getSelection().selectAllChildren(text);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });
}
