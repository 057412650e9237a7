// What htmx leaves to us: focus after a swap, a thin bar while waiting, words for errors, errors of forms.
import { all } from "./parts.js";
import { toast } from "./toasts.js";

let waiting = 0;
const polls = (element) => /every|load delay/.test(element.getAttribute("hx-trigger") ?? "");

export function start() {
  const bar = document.createElement("div");
  bar.className = "loadbar";
  document.body.append(bar);
  const count = (by) => {
    waiting = Math.max(0, waiting + by);
    bar.classList.toggle("on", waiting > 0);
  };
  document.addEventListener("htmx:beforeRequest", (event) => polls(event.detail.elt) || count(1));
  document.addEventListener("htmx:afterRequest", (event) => polls(event.detail.elt) || count(-1));

  let held;
  document.addEventListener("htmx:beforeSwap", (event) => {
    // A part that asks by itself must not pull away what somebody is using.
    const { target, elt } = event.detail;
    const active = document.activeElement;
    held = target.contains(active) && active !== document.body ? active : null;
    const isBusy = held?.matches("input:not([type=checkbox]), textarea, select") || target.querySelector?.("dialog[open], details.how[open]");
    if (polls(elt) && isBusy) {
      event.detail.shouldSwap = false;
      setTimeout(() => window.htmx?.ajax("GET", elt.getAttribute("hx-get"), { source: elt, target: elt, swap: elt.getAttribute("hx-swap") ?? "innerHTML" }), 1500);
    }
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    const part = event.detail.elt;
    for (const summary of all(part, "[data-focus]")) return summary.focus();
    if (!held || document.activeElement !== document.body) return;
    // The pressed thing was replaced: the same thing by its name, else the part itself, so that Tab goes on from here.
    const name = held.getAttribute("name") && `[name="${CSS.escape(held.getAttribute("name"))}"]`;
    const same = (held.id && document.getElementById(held.id)) || (name && part.querySelector(name));
    if (!same) part.setAttribute("tabindex", "-1");
    (same ?? part).focus({ preventScroll: true });
    held = null;
  });

  document.addEventListener("htmx:responseError", (event) => {
    const { xhr } = event.detail;
    if (/"toast"/.test(xhr.getResponseHeader("HX-Trigger") ?? "")) return;
    toast(`The portal answered ${xhr.status}. Load the page again; nothing you sent was changed twice.`, "bad", { id: xhr.getResponseHeader("X-Request-Id") ?? "" });
  });
  for (const name of ["htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(name, (event) => polls(event.detail.elt) || toast("The portal cannot be reached. Check the connection, then try again.", "bad"));
  }
  document.querySelector("[data-focus]")?.focus();
}
