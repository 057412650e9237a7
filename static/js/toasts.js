// One sentence in the corner. Good news leaves by itself; bad news stays until it is dismissed.
import { all, everywhere, make } from "./parts.js";

const STAY_MS = 7000;
const UNDO_MS = 10000;
const MARKS = { good: "M5 12.5 9.5 17 19 7.5", warn: "M12 4 2.8 19.5h18.4zM12 10v4.5M12 17v.1", bad: "M6.5 6.5l11 11m0-11-11 11" };
const SVG = "http://www.w3.org/2000/svg";

function mark(d) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", d);
  svg.append(path);
  return svg;
}

function leaveLater(toast) {
  let timer;
  const wait = () => (timer = setTimeout(() => toast.remove(), toast.querySelector("form, [data-undo]") ? UNDO_MS : STAY_MS));
  const stay = () => clearTimeout(timer);
  for (const event of ["pointerenter", "focusin"]) toast.addEventListener(event, stay);
  for (const event of ["pointerleave", "focusout"]) toast.addEventListener(event, wait);
  wait();
}

/** Shows a toast. `level` is good, warn, bad or live; `undo` an address to post to. */
export function toast(text, level = "good", { undo = "", id = "" } = {}) {
  const region = document.getElementById("toasts");
  if (!region || !text) return;
  // The same sentence twice at once is one sentence.
  for (const old of region.querySelectorAll("p")) if (old.firstChild?.textContent === text) old.parentElement.remove();
  const close = make("button", { type: "button", className: "close" }, mark(MARKS.bad));
  close.dataset.dismiss = "";
  close.setAttribute("aria-label", "Dismiss");
  const said = make("p", {}, text);
  if (id) said.append(" ", make("code", { className: "muted" }, id));
  const line = make("div", { className: `toast ${level}` }, mark(MARKS[level] ?? "M12 11v6M12 7v.1"), said, close);
  if (level === "bad") line.setAttribute("role", "alert");
  if (undo) {
    const button = make("button", { type: "button", className: "linklike" }, "Undo");
    button.dataset.undo = "";
    button.addEventListener("click", () => {
      window.htmx?.ajax("POST", undo, { source: document.body, swap: "none" });
      line.remove();
    });
    said.append(" ", button);
  }
  region.append(line);
  while (region.children.length > 4) region.firstElementChild.remove();
  if (level !== "bad") leaveLater(line);
}

export function start() {
  everywhere((root) => {
    for (const button of all(root, "[data-dismiss]")) button.hidden = false;
    for (const line of all(root, ".toast:not([data-stay], [data-seen])")) {
      line.dataset.seen = "";
      leaveLater(line);
    }
  });
  document.addEventListener("click", (event) => {
    event.target.closest?.("[data-dismiss]")?.closest(".toast")?.remove();
    const said = event.target.closest?.("[data-toast]");
    if (said) toast(said.dataset.toast, said.dataset.level);
  });
  document.addEventListener("toast", (event) => toast(event.detail.text ?? event.detail.value, event.detail.level, event.detail));
}
