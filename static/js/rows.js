// Rows by keyboard: j and k move, x selects, e edits, any data-key acts on the row or the page.
import { mayAct } from "./parts.js";

const rowsOf = (root) => [...root.querySelectorAll("[data-row]")];

function current(root) {
  return document.activeElement?.closest("[data-row]") ?? root.querySelector('[data-row][aria-current="true"]');
}

function go(root, by) {
  const rows = rowsOf(root);
  if (!rows.length) return;
  const at = rows.indexOf(current(root));
  const next = rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
  for (const row of rows) row.toggleAttribute("aria-current", false);
  next.setAttribute("aria-current", "true");
  if (!next.hasAttribute("tabindex")) next.tabIndex = -1;
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

export function start() {
  document.addEventListener("keydown", (event) => {
    if (!mayAct(event)) return;
    const root = document.querySelector("[data-rows]");
    const row = root && current(root);
    const pressed = `[data-key="${CSS.escape(event.key)}"]`;
    const act = row?.querySelector(pressed) ?? document.querySelector(`${pressed}:not([data-row] *)`) ?? (root && !row ? root.querySelector(pressed) : null);
    if (act) act.click();
    else if (root && (event.key === "j" || event.key === "k")) go(root, event.key === "j" ? 1 : -1);
    else if (row && event.key === "x") row.querySelector('input[type="checkbox"]')?.click();
    else if (row && event.key === "e") row.querySelector("[data-edit]")?.click();
    else return;
    event.preventDefault();
  });
}
