"use strict";
const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// --- views: the part of the page that the address names ---
const views = all("main > section");
function showView() {
  const name = decodeURIComponent(location.hash.slice(1)), target = document.getElementById(name);
  const view = views.find((view) => view.dataset.view === name || (target && view.contains(target))) || views[0];
  for (const other of views) other.hidden = other !== view;
  for (const link of all(".tabs a"))
    link.hash === `#${view.dataset.view}` ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  if (target) target.scrollIntoView();
  else scrollTo({ top: 0, behavior: "instant" });
}
addEventListener("hashchange", showView);

// --- images: each is in the page once, and shown when its pair comes near ---
const images = JSON.parse(one("#images").textContent);
const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting) {
    for (const image of all("img", target)) image.src = `data:image/webp;base64,${images[image.dataset.image]}`;
    watcher.unobserve(target);
  }
}, { rootMargin: "800px" });
for (const card of all(".card")) watcher.observe(card);

// --- filter and search ---
const cards = all(".card").map((card) => ({
  card,
  texts: all(".t", card),
  words: all(".t", card).map((node) => node.textContent).join("\n").toLowerCase(),
  negatives: all("[data-kind]", card),
}));
const chips = all(".chip"), search = one("#search");
const chosen = () => new Set(chips.filter((chip) => chip.ariaPressed === "true").map((chip) => chip.dataset.kind));

function filter() {
  const kinds = chosen(), terms = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0, negatives = 0;
  for (const { card, words, negatives: items } of cards) {
    const fitting = items.filter((item) => !kinds.size || kinds.has(item.dataset.kind));
    const visible = (!kinds.size || fitting.length) && terms.every((term) => words.includes(term));
    card.hidden = !visible;
    for (const item of items) item.hidden = !fitting.includes(item);
    if (visible) { shown += 1; negatives += fitting.length; }
  }
  for (const told of all(".guards")) told.hidden = !kinds.has(told.dataset.kind);
  one(".none").hidden = shown > 0;
  one("#count").value = [[shown, "pairs"], [negatives, "negatives"]].map(([n, of]) => `${n.toLocaleString("en")} ${of}`).join(", ");
  highlight(terms);
}

function highlight(terms) {
  if (!("highlights" in CSS)) return;
  const ranges = [];
  for (const { card, texts } of terms.length ? cards : []) if (!card.hidden) for (const text of texts) {
    const walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
    for (let node; (node = walker.nextNode());) for (const term of terms) {
      const words = node.data.toLowerCase();
      for (let at = words.indexOf(term); at >= 0; at = words.indexOf(term, at + term.length)) {
        const range = new Range();
        range.setStart(node, at);
        range.setEnd(node, Math.min(at + term.length, node.length));
        ranges.push(range);
      }
    }
  }
  CSS.highlights.set("found", new Highlight(...ranges));
}

// A pair that is gone to must not lie under the tools.
function keepClear() {
  const sticky = getComputedStyle(one(".tools")).position === "sticky";
  document.documentElement.style.scrollPaddingTop = sticky ? `${one(".tools").offsetHeight}px` : "";
}

function clear() {
  search.value = "";
  for (const chip of chips) chip.ariaPressed = "false";
  filter();
}

if (search) {
  search.addEventListener("input", filter);
  for (const chip of chips) chip.addEventListener("click", () => {
    chip.ariaPressed = String(chip.ariaPressed !== "true");
    filter();
  });
  one("#clear").addEventListener("click", clear);
  new ResizeObserver(keepClear).observe(one(".tools"));
  keepClear();
  for (const name of ["old", "mined"])
    one(`#${name}`)?.addEventListener("change", (event) => document.body.classList.toggle(`no-${name}`, !event.target.checked));
  filter();
}

// --- light and dark ---
const themes = ["auto", "light", "dark"], theme = one("#theme .now");
function setTheme(name) {
  document.documentElement.style.colorScheme = name === "auto" ? "" : name;
  theme.textContent = name;
  try { localStorage.setItem("negmine-theme", name); } catch { /* a page from a file may have no storage */ }
}
const nextTheme = () => setTheme(themes[(themes.indexOf(theme.textContent) + 1) % themes.length]);
one("#theme").addEventListener("click", nextTheme);
try { const kept = localStorage.getItem("negmine-theme"); if (themes.includes(kept)) setTheme(kept); } catch { /* as above */ }

// --- values of curves under the pointer ---
const hover = one("#hover");
for (const svg of all("svg[data-x]")) {
  const [box, [first, last], [low, high]] = ["box", "x", "y"].map((name) => svg.dataset[name].split(" ").map(Number));
  const [left, right, top, bottom] = box;
  const lines = all("polyline", svg).map((line) => ({ name: line.dataset.name, points: [...line.points] }));
  const value = (y) => low + ((bottom - y) / (bottom - top)) * (high - low);
  const told = (y) => svg.dataset.percent === "1" ? `${(100 * value(y)).toFixed(1)} %` : value(y).toPrecision(3);
  svg.addEventListener("pointermove", (event) => {
    const frame = svg.getBoundingClientRect(), x = ((event.clientX - frame.left) / frame.width) * svg.viewBox.baseVal.width;
    const step = Math.round(first + ((x - left) / (right - left)) * (last - first));
    const near = lines.map(({ name, points }) => {
      const point = points.reduce((best, other) => (Math.abs(other.x - x) < Math.abs(best.x - x) ? other : best));
      return `${name}: ${told(point.y)}`;
    });
    hover.replaceChildren(...[`step ${Math.max(0, step).toLocaleString("en")}`, ...near].map((text) => {
      const row = document.createElement("div");
      row.textContent = text;
      return row;
    }));
    hover.hidden = false;
    hover.style.left = `${Math.min(event.clientX + 14, innerWidth - hover.offsetWidth - 8)}px`;
    hover.style.top = `${event.clientY + 14}px`;
  });
  svg.addEventListener("pointerleave", () => { hover.hidden = true; });
}

// --- keyboard ---
const keys = one("#keys");
one("#help").addEventListener("click", () => keys.showModal());
function step(by) {
  const visible = cards.map(({ card }) => card).filter((card) => !card.hidden);
  const at = visible.indexOf(document.activeElement?.closest(".card"));
  const next = visible[at < 0 ? 0 : Math.min(Math.max(at + by, 0), visible.length - 1)];
  next?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: "start" });
}
const commands = {
  "/": () => { location.hash = "examples"; search?.focus(); },
  "j": () => step(1), "k": () => step(-1), "t": nextTheme, "?": () => keys.showModal(),
};
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && search && !keys.open) { clear(); document.activeElement?.blur(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || keys.open || event.target.matches("input[type=search]")) return;
  const view = views[Number(event.key) - 1];
  const command = commands[event.key] || (view && (() => { location.hash = view.dataset.view; }));
  if (command) { event.preventDefault(); command(); }
});

showView();
