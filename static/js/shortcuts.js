// Single keys: g and a letter goes to a place, / searches, ? lists them. They can be switched off (WCAG 2.1.4).
import { open } from "./dialogs.js";
import { openPalette } from "./palette.js";
import { mayAct } from "./parts.js";

const PAUSE_MS = 1200;

export function start() {
  let since = 0;
  document.addEventListener("keydown", (event) => {
    if (!mayAct(event)) return;
    const isSecond = Date.now() - since < PAUSE_MS;
    since = 0;
    if (isSecond) {
      const place = document.querySelector(`.shell > .side [data-go="${CSS.escape(event.key)}"]`);
      if (place) {
        event.preventDefault();
        // The row keys must not see this letter as their own.
        event.stopImmediatePropagation();
        return place.click();
      }
    }
    if (event.key === "g") since = Date.now();
    else if (event.key === "?") open("shortcuts");
    else if (event.key === "/") {
      const field = [...document.querySelectorAll('main input[type="search"], main [data-search]')].find((one) => one.checkVisibility?.() ?? true);
      if (field) field.focus();
      else openPalette();
    } else return;
    event.preventDefault();
  }, true);
}
