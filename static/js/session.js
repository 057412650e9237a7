// Signed out in the middle of writing: what was written is back after signing in again.
import { toast } from "./toasts.js";

const key = () => `kept:${location.pathname}`;
const skip = new Set(["password", "file", "hidden", "submit", "button"]);

function fields() {
  return [...document.querySelectorAll("main form")].flatMap((form, at) =>
    [...form.elements].filter((part) => part.name && !skip.has(part.type)).map((part, index) => [`${at}.${index}.${part.name}`, part]));
}

function keep() {
  const kept = fields().map(([name, part]) => [name, ["checkbox", "radio"].includes(part.type) ? part.checked : part.value]);
  try {
    sessionStorage.setItem(key(), JSON.stringify(kept));
  } catch { /* no room, or storage is off: then there is nothing to give back */ }
}

function giveBack() {
  const stored = sessionStorage.getItem(key());
  sessionStorage.removeItem(key());
  const login = document.body.dataset.login;
  const from = document.referrer && new URL(document.referrer);
  if (!stored || !login || !from || from.origin !== location.origin || !from.pathname.startsWith(login)) return;
  const values = new Map(JSON.parse(stored));
  let n = 0;
  for (const [name, part] of fields()) {
    if (!values.has(name)) continue;
    const value = values.get(name);
    if (typeof value === "boolean") part.checked = value;
    else if (part.value !== value) { part.value = value; n += 1; }
  }
  if (n) toast("You were signed out meanwhile. What you had written is back; send it again.", "live");
}

export function start() {
  if (!document.body.dataset.login) return;
  try { giveBack(); } catch { /* storage is off */ }
  document.addEventListener("submit", (event) => event.target.method === "post" && event.target.closest("main") && keep());
  document.addEventListener("htmx:beforeOnLoad", (event) => {
    const to = event.detail.xhr.getResponseHeader("HX-Redirect") ?? "";
    if (to.startsWith(document.body.dataset.login)) keep();
  });
}
