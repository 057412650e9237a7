// Ctrl-K or Cmd-K: go to anything. The server says what there is; only what this person may see.
import { open } from "./dialogs.js";
import { make } from "./parts.js";

let dialog, input, list, asking;

function options() {
  return [...list.querySelectorAll('[role="option"]')];
}

function mark(at) {
  const lines = options();
  lines.forEach((line, i) => line.setAttribute("aria-selected", String(i === at)));
  if (lines[at]) {
    input.setAttribute("aria-activedescendant", lines[at].id);
    lines[at].scrollIntoView({ block: "nearest" });
  } else input.removeAttribute("aria-activedescendant");
}

/** The places of the navigation whose name holds these words (all of them, without words). */
function places(words) {
  const links = [...document.querySelectorAll(".shell > .side li > a[data-go]")];
  return links.map((link, i) => {
    const name = link.querySelector(".grow").textContent;
    if (!name.toLowerCase().includes(words.toLowerCase())) return null;
    const line = make("a", { href: link.href, id: `place-${i}`, tabIndex: -1 }, link.querySelector(".icon").cloneNode(true), make("span", {}, name), make("span", { className: "kind" }, "page"));
    line.setAttribute("role", "option");
    return line;
  }).filter(Boolean);
}

async function ask() {
  asking?.abort();
  const words = input.value.trim();
  const near = places(words);
  if (!words) {
    list.replaceChildren(...near);
    return mark(0);
  }
  asking = new AbortController();
  try {
    const answer = await fetch(`${dialog.dataset.url}?q=${encodeURIComponent(words)}`, { headers: { "HX-Request": "true" }, signal: asking.signal, credentials: "same-origin" });
    if (answer.headers.get("HX-Redirect")) return location.assign(answer.headers.get("HX-Redirect"));
    if (!answer.ok) throw new Error(String(answer.status));
    // Our own server's markup, escaped there; scripts in it would not run.
    list.innerHTML = await answer.text();
    if (near.length && !options().length) list.replaceChildren(...near);
    else list.prepend(...near);
  } catch (error) {
    if (error.name === "AbortError") return;
    list.replaceChildren(...near, make("p", {}, "The search cannot be reached just now."));
  }
  mark(0);
}

/** Opens the palette, empty. */
export function openPalette() {
  if (!dialog) return;
  open("palette");
  input.value = "";
  ask();
  input.focus();
}

export function start() {
  dialog = document.getElementById("palette");
  if (!dialog) return;
  input = dialog.querySelector("input");
  list = dialog.querySelector('[role="listbox"]');
  if (/mac/i.test(navigator.platform)) for (const key of document.querySelectorAll("[data-mac]")) key.textContent = key.dataset.mac;
  let timer;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, 60);
  });
  dialog.addEventListener("opened", openPalette);
  dialog.addEventListener("keydown", (event) => {
    const lines = options();
    const at = lines.findIndex((line) => line.getAttribute("aria-selected") === "true");
    if (event.key === "ArrowDown") mark((at + 1) % Math.max(lines.length, 1));
    else if (event.key === "ArrowUp") mark((at - 1 + lines.length) % Math.max(lines.length, 1));
    else if (event.key === "Enter" && lines[at]) lines[at].click();
    else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    event.preventDefault();
    if (dialog.open) dialog.close();
    else openPalette();
  });
}
