// Adds the reader's own time to the exact UTC time that stands on hover, and keeps "3 minutes ago" true.
import { all, everywhere } from "./parts.js";

const local = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

function word(time) {
  const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
  if (seconds < 45 || seconds >= 79200) return null;
  const [n, unit] = seconds < 2700 ? [Math.max(1, Math.round(seconds / 60)), "minute"] : [Math.max(1, Math.round(seconds / 3600)), "hour"];
  return `${n} ${unit}${n === 1 ? "" : "s"} ago`;
}

export function start() {
  everywhere((root) => {
    for (const time of all(root, "time[datetime][title]:not([data-local])")) {
      time.dataset.local = "";
      const at = new Date(time.dateTime);
      if (!Number.isNaN(at.getTime()) && at.getTimezoneOffset()) time.title += `\n${local.format(at)} here`;
    }
  });
  setInterval(() => {
    if (document.hidden) return;
    for (const time of document.querySelectorAll("time[data-local]")) {
      const now = / ago$|^just now$/.test(time.textContent) && word(time);
      if (now && now !== time.textContent) time.textContent = now;
    }
  }, 30000);
}
