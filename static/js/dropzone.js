// Files by drop, click or paste into one ordinary file field: the form stays a form.
import { all, everywhere, isTyping, make } from "./parts.js";

const UNITS = ["B", "kB", "MB", "GB", "TB"];

export function size(bytes) {
  let n = bytes, i = 0;
  for (; n >= 999.5 && i < UNITS.length - 1; i++) n /= 1000;
  return `${i && n < 100 ? n.toFixed(1) : Math.round(n)} ${UNITS[i]}`;
}

function choose(input, files) {
  const given = new DataTransfer();
  for (const file of input.multiple ? files : [...files].slice(0, 1)) given.items.add(file);
  input.files = given.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

function wire(zone) {
  const input = zone.querySelector('input[type="file"]');
  if (!input || zone.dataset.wired !== undefined) return;
  zone.dataset.wired = "";
  const chosen = make("p", { className: "chosen" });
  chosen.setAttribute("role", "status");
  zone.append(chosen);
  const over = (event) => {
    event.preventDefault();
    zone.classList.add("over");
  };
  zone.addEventListener("dragenter", over);
  zone.addEventListener("dragover", over);
  zone.addEventListener("dragleave", (event) => zone.contains(event.relatedTarget) || zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    if (event.dataTransfer.files.length) choose(input, event.dataTransfer.files);
  });
  zone.addEventListener("click", (event) => event.target.closest("input, label, button, a, textarea") || input.click());
  input.addEventListener("change", () => {
    chosen.textContent = [...input.files].map((file) => `${file.name}, ${size(file.size)}`).join("; ");
  });
  document.addEventListener("paste", (event) => {
    if (!zone.isConnected || isTyping(event) || document.querySelector("dialog[open]")) return;
    const { files } = event.clipboardData;
    const text = event.clipboardData.getData("text/plain");
    if (files.length) choose(input, files);
    else if (text.trim()) {
      const area = zone.dataset.paste && document.getElementById(zone.dataset.paste);
      if (area) {
        area.value = text;
        area.dispatchEvent(new Event("input", { bubbles: true }));
        area.focus();
      } else choose(input, [new File([text], "pasted.txt", { type: "text/plain" })]);
    } else return;
    event.preventDefault();
  });
}

export function start() {
  everywhere((root) => all(root, "[data-dropzone]").forEach(wire));
  // A file dropped beside the zone must not replace the page.
  for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => document.querySelector("[data-dropzone]") && event.preventDefault());
}
