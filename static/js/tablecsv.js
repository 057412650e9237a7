// "Save as CSV": the values of a chart, numbers as numbers whatever the page makes of them.
import { all, everywhere } from "./parts.js";

const FORMULA = /^[\s\u200b\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]/;
const NUMBER = /^-?\d+(\.\d+)?(e[+-]?\d+)?$/;

/** One cell: a number as it is, text quoted, with an apostrophe where a spreadsheet would run it as a formula. */
export function cell(text) {
  if (NUMBER.test(text)) return text;
  return `"${(FORMULA.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
}

/** The table as lines of cells. A cell carries its number in data-value, the ends of its interval in data-low and -high. */
export function lines(table) {
  const rows = [...table.rows].map((row) => [...row.cells]);
  const columns = rows[0].map((head, i) => {
    const below = rows.slice(1).map((row) => row[i]?.dataset ?? {});
    const hasInterval = below.some((one) => "low" in one);
    // Of what has ends and no value between them, only the ends: the bins of a histogram.
    const hasValue = !hasInterval || below.some((one) => "value" in one);
    return { name: head.textContent.trim(), unit: head.dataset.unit ? ` (${head.dataset.unit})` : "", hasInterval, hasValue };
  });
  const named = ({ name, unit, hasInterval, hasValue }) => [...(hasValue ? [`${name}${unit}`.trim()] : []), ...(hasInterval ? [`${name} from${unit}`.trim(), `${name} to${unit}`.trim()] : [])];
  const valued = (one, { hasInterval, hasValue }) => [...(hasValue ? [one?.dataset.value ?? one?.textContent.trim() ?? ""] : []), ...(hasInterval ? [one?.dataset.low ?? "", one?.dataset.high ?? ""] : [])];
  return [columns.flatMap(named), ...rows.slice(1).map((row) => columns.flatMap((column, i) => valued(row[i], column)))];
}

export function start() {
  everywhere((root) => all(root, "[data-table-csv]").forEach((button) => (button.hidden = false)));
  document.addEventListener("click", (event) => {
    const figure = event.target.closest?.("[data-table-csv]")?.closest("figure");
    if (!figure) return;
    const text = lines(figure.querySelector("details table")).map((line) => `${line.map(cell).join(",")}\r\n`);
    const link = document.createElement("a");
    // The mark at the front tells a spreadsheet that this is UTF-8.
    link.href = URL.createObjectURL(new Blob(["\ufeff", ...text], { type: "text/csv;charset=utf-8" }));
    link.download = `${figure.querySelector(".title").textContent.toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 60).replace(/^-|-$/g, "")}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
}
