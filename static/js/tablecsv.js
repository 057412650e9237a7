// "Save as CSV": the values of a chart as its table shows them.
import { all, everywhere } from "./parts.js";

const FORMULA = /^[\s\u200b\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]/;

/** One cell, quoted; with an apostrophe where a spreadsheet would run it as a formula. */
export function cell(text) {
  const isPlain = !FORMULA.test(text) || (text.trim() === text && !Number.isNaN(Number(text)));
  return `"${(isPlain ? text : `'${text}`).replaceAll('"', '""')}"`;
}

export function start() {
  everywhere((root) => all(root, "[data-table-csv]").forEach((button) => (button.hidden = false)));
  document.addEventListener("click", (event) => {
    const figure = event.target.closest?.("[data-table-csv]")?.closest("figure");
    if (!figure) return;
    const lines = [...figure.querySelectorAll("details table tr")].map((row) => [...row.cells].map((one) => cell(one.textContent.trim())).join(","));
    const link = document.createElement("a");
    // The mark at the front tells a spreadsheet that this is UTF-8.
    link.href = URL.createObjectURL(new Blob(["\ufeff", lines.join("\r\n"), "\r\n"], { type: "text/csv;charset=utf-8" }));
    link.download = `${figure.querySelector(".title").textContent.toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 60).replace(/^-|-$/g, "")}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
}
