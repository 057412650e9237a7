// Two presses of a button are one request: the second finds it busy.

const AGAIN_MS = 10000;

function busy(form, on, submitter) {
  const buttons = [...form.elements].filter((part) => part.tagName === "BUTTON" && part.type === "submit");
  for (const button of buttons) {
    if (button.dataset.stays !== undefined) continue;
    button.disabled = on;
    if (on && button === submitter) button.setAttribute("aria-busy", "true");
    else button.removeAttribute("aria-busy");
  }
}

export function start() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post" || form.dataset.again !== undefined) return;
    if (form.dataset.sent !== undefined) return event.preventDefault();
    if (form.matches("[hx-post], [hx-put], [hx-patch], [hx-delete]")) return;
    form.dataset.sent = "";
    // After this turn of the loop: a disabled button would not send its own name and value.
    setTimeout(() => busy(form, true, event.submitter));
    // A download leaves the page where it is; the form must become usable again.
    setTimeout(() => release(form), AGAIN_MS);
  });
  addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach(release));
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.elt.tagName !== "FORM") return;
    if (event.detail.elt.dataset.sent !== undefined) return event.preventDefault();
    event.detail.elt.dataset.sent = "";
    busy(event.detail.elt, true, event.detail.requestConfig?.triggeringEvent?.submitter);
  });
  document.addEventListener("htmx:afterRequest", (event) => event.detail.elt.tagName === "FORM" && release(event.detail.elt));
}

function release(form) {
  delete form.dataset.sent;
  busy(form, false);
}
