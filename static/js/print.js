// A page to be handed on: the browser's own print dialog, where "save as PDF" stands too.
export function start() {
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-print]")) window.print();
  });
}
