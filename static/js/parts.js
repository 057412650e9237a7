// Small helpers shared by the modules.

/** Runs `mend(root)` now and for every part htmx puts into the page. */
export function everywhere(mend) {
  mend(document);
  document.addEventListener("htmx:load", (event) => mend(event.detail.elt));
}

/** The element itself, if it matches, and all below it that do. */
export function all(root, selector) {
  const found = [...root.querySelectorAll(selector)];
  if (root.matches?.(selector)) found.unshift(root);
  return found;
}

/** Whether a key pressed here belongs to the thing that has the focus. */
export function isTyping(event) {
  const at = event.target;
  return (
    at.isContentEditable ||
    ["TEXTAREA", "SELECT"].includes(at.tagName) ||
    (at.tagName === "INPUT" && !["checkbox", "radio", "button", "submit", "range", "file"].includes(at.type))
  );
}

/** Whether single-key shortcuts may act on this key press. */
export function mayAct(event) {
  return !(
    event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.repeat && !["j", "k"].includes(event.key) ||
    document.body.dataset.shortcuts === "off" || isTyping(event) || document.querySelector("dialog[open]")
  );
}

/** A new element: tag, properties, children. Text is text. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Keeps a preference of this browser for a year. */
export function setCookie(name, value) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${name}=${encodeURIComponent(value)}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
}
