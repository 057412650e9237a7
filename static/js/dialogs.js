// Opens and closes native dialogs where the browser does not know `command` yet.
import { all, everywhere } from "./parts.js";

const isKnown = "commandForElement" in HTMLButtonElement.prototype;

/** Opens the dialog with this id, if it is there. */
export function open(id) {
  const dialog = document.getElementById(id);
  if (dialog && !dialog.open) dialog.showModal();
  return dialog;
}

export function start() {
  everywhere((root) => all(root, "[data-open]").forEach((button) => (button.hidden = !document.getElementById(button.dataset.open))));
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button");
    if (button?.dataset.open) open(button.dataset.open)?.dispatchEvent(new CustomEvent("opened"));
    if (button?.hasAttribute("commandfor") && !isKnown) {
      const dialog = document.getElementById(button.getAttribute("commandfor"));
      if (button.getAttribute("command") === "close") dialog?.close();
      else if (dialog && !dialog.open) dialog.showModal();
    }
    // A press on the backdrop closes; a press that began inside (a selection) does not.
    if (event.target.tagName === "DIALOG" && event.target.open && !event.target.querySelector("form[data-dirty]")) {
      const box = event.target.getBoundingClientRect();
      const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
      if (!inside && event.detail > 0) event.target.close();
    }
    // Notes beside a number close when the next thing is pressed.
    for (const note of document.querySelectorAll("details.how[open]")) if (!note.contains(event.target)) note.open = false;
  });
  // Who opens a form wants to write: the browser would begin at the cross that closes it. Toggle events do not bubble.
  document.addEventListener("toggle", (event) => {
    const dialog = event.target;
    if (dialog.tagName !== "DIALOG" || event.newState !== "open" || !document.activeElement?.matches("dialog .close")) return;
    dialog.querySelector('form :is(input:not([type="hidden"]), textarea, select):not(:disabled)')?.focus();
  }, true);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const note = document.querySelector("details.how[open]");
    if (!note) return;
    note.open = false;
    note.querySelector("summary").focus();
  });
}
