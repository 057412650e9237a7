// "Save as picture": the figure as it stands, with its title, as a PNG drawn by the browser itself.
import { all, everywhere } from "./parts.js";
import { toast } from "./toasts.js";

const KEPT = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "stroke-linecap", "opacity", "font-family", "font-size", "font-weight", "text-anchor", "paint-order", "vector-effect"];
const SVG = "http://www.w3.org/2000/svg";
const MARGIN = 24;

/** The drawing without its stylesheet: every computed colour and letter written into it. */
function standing(plot) {
  const copy = plot.cloneNode(true);
  const from = [plot, ...plot.querySelectorAll("*")];
  const to = [copy, ...copy.querySelectorAll("*")];
  from.forEach((part, i) => {
    const style = getComputedStyle(part);
    for (const name of KEPT) to[i].setAttribute(name, style.getPropertyValue(name));
  });
  for (const unseen of copy.querySelectorAll(".hit, title")) unseen.remove();
  return copy;
}

function element(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

/** The words in lines of at most so many letters. */
function wrapped(text, letters) {
  const lines = [""];
  for (const word of text.split(/\s+/)) {
    if (lines.at(-1) && lines.at(-1).length + word.length >= letters) lines.push(word);
    else lines[lines.length - 1] += (lines.at(-1) && " ") + word;
  }
  return lines;
}

async function draw(figure) {
  const plot = figure.querySelector("svg.plot.box, svg.plot.bars, svg.shares");
  const box = plot.getBoundingClientRect();
  const style = getComputedStyle(plot);
  const [top, right, bottom, left] = ["top", "right", "bottom", "left"].map((side) => parseFloat(style.getPropertyValue(`padding-${side}`)));
  const page = element("svg", { xmlns: SVG });
  page.append(element("rect", { width: "100%", height: "100%", fill: getComputedStyle(figure.closest(".card") ?? document.body).backgroundColor }));
  let y = MARGIN;
  figure.querySelectorAll("figcaption p").forEach((line, i) => {
    const said = getComputedStyle(line);
    for (const words of wrapped(line.textContent, box.width / (i ? 7 : 9.2))) {
      y += i ? 17 : 20;
      page.append(element("text", { x: MARGIN, y, fill: said.color, "font-family": said.fontFamily, "font-size": i ? 12 : 15, "font-weight": i ? 400 : 600 }, words));
    }
  });
  y += 18;
  const copy = standing(plot);
  for (const [name, value] of [["x", MARGIN + left], ["y", y + top], ["width", box.width - left - right], ["height", box.height - top - bottom], ["overflow", "visible"]]) copy.setAttribute(name, value);
  page.append(copy);
  y += box.height;
  let x = MARGIN;
  for (const entry of figure.querySelectorAll(".legend li")) {
    const key = standing(entry.querySelector("svg"));
    if (x === MARGIN) y += 18;
    for (const [name, value] of [["x", x], ["y", y - 9], ["width", 18], ["height", 10]]) key.setAttribute(name, value);
    page.append(key, element("text", { x: x + 24, y, fill: getComputedStyle(entry).color, "font-family": style.fontFamily, "font-size": 12 }, entry.textContent));
    x += entry.getBoundingClientRect().width + 24;
  }
  const width = box.width + 2 * MARGIN, height = y + MARGIN;
  page.setAttribute("width", width);
  page.setAttribute("height", height);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(page))}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = width * 2;
  canvas.height = height * 2;
  const pen = canvas.getContext("2d");
  pen.scale(2, 2);
  pen.drawImage(image, 0, 0);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

export function start() {
  everywhere((root) => all(root, "[data-picture]").forEach((button) => (button.hidden = false)));
  document.addEventListener("click", async (event) => {
    const figure = event.target.closest?.("[data-picture]")?.closest("figure");
    if (!figure) return;
    try {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await draw(figure));
      link.download = `${figure.querySelector(".title").textContent.toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 60).replace(/^-|-$/g, "")}.png`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    } catch {
      toast("The browser could not draw the picture. Print the page instead.", "bad");
    }
  });
}
