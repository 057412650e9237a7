// Speaks for parts that change often: the latest text, at most every five seconds.
import { all, make } from "./parts.js";

const QUIET_MS = 5000;
let region, last = "", spokenAt = 0, timer;

/** Says the text to screen readers; `now` for what must not wait. */
export function announce(text, now = false) {
  clearTimeout(timer);
  const wait = now ? 0 : Math.max(0, spokenAt + QUIET_MS - Date.now());
  timer = setTimeout(() => {
    if (!text || text === last) return;
    last = region.textContent = text;
    spokenAt = Date.now();
  }, wait);
}

export function start() {
  region = make("div", { className: "vh", id: "announcer" });
  region.setAttribute("role", "status");
  document.body.append(region);
  document.addEventListener("htmx:load", (event) => {
    for (const part of all(event.detail.elt, "[data-calm]")) {
      announce(part.textContent.replace(/\s+/g, " ").trim(), part.dataset.calm === "now");
    }
  });
}
