// Copy buttons: shown where scripts run, and saying that it worked.
import { announce } from "./live.js";
import { all, everywhere, make } from "./parts.js";

async function put(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = make("textarea", { value: text, className: "vh" });
  document.body.append(area);
  area.select();
  const worked = document.execCommand("copy");
  area.remove();
  if (!worked) throw new Error("The browser did not allow copying.");
}

export function start() {
  everywhere((root) => all(root, "[data-copy]").forEach((button) => (button.hidden = false)));
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    const word = button.querySelector("span") ?? button;
    const before = (button.dataset.word ??= word.textContent);
    try {
      await put(button.dataset.copy);
      word.textContent = "Copied";
      announce("Copied", true);
    } catch {
      word.textContent = "Select and copy by hand";
    }
    setTimeout(() => (word.textContent = before), 1800);
  });
}
