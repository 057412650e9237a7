// The value under the pointer, at once and beside it: the browser's own hint comes late.
import { make } from "./parts.js";

const words = new WeakMap();

export function start() {
  const tip = make("div", { className: "tip", hidden: true });
  tip.setAttribute("aria-hidden", "true");
  document.body.append(tip);
  const textOf = (mark) => {
    if (!words.has(mark)) {
      // The <title> is taken out, or the browser would show the same words a second time.
      const title = mark.querySelector(":scope > title");
      words.set(mark, title?.textContent ?? "");
      title?.remove();
    }
    return words.get(mark);
  };
  document.addEventListener("pointermove", (event) => {
    const mark = event.target.closest?.(".plot .hit, .plot .mark, .shares rect");
    const holder = mark && (mark.querySelector(":scope > title") || words.has(mark) ? mark : mark.closest("g") ?? mark);
    const text = holder && textOf(holder);
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    const { offsetWidth: width, offsetHeight: height } = tip;
    tip.style.left = `${Math.max(8, Math.min(innerWidth - width - 8, event.clientX + 14))}px`;
    tip.style.top = `${event.clientY + height + 24 > innerHeight ? event.clientY - height - 12 : event.clientY + 18}px`;
  }, { passive: true });
  document.addEventListener("pointerleave", () => (tip.hidden = true));
  document.addEventListener("scroll", () => (tip.hidden = true), { passive: true, capture: true });
}
