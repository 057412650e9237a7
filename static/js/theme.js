// Changes the theme at once; the cookie lets the server draw it so from the first byte of the next page.
import { setCookie } from "./parts.js";

export function start() {
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-theme-form]")) return;
    const chosen = event.submitter?.value;
    if (!chosen) return;
    event.preventDefault();
    setCookie("theme", chosen);
    document.documentElement.dataset.theme = chosen;
    for (const button of document.querySelectorAll("[data-theme-form] button")) {
      button.setAttribute("aria-pressed", String(button.value === chosen));
    }
  }, true);
}
