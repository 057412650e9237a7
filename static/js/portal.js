// What every page runs. Pages work without it; with it they are quicker to use.
import { start as charts } from "./charts.js";
import { start as copy } from "./copy.js";
import { start as dialogs } from "./dialogs.js";
import { start as dropzone } from "./dropzone.js";
import { start as fragments } from "./fragments.js";
import { start as guard } from "./guard.js";
import { start as live } from "./live.js";
import { start as palette } from "./palette.js";
import { start as picture } from "./picture.js";
import { start as tablecsv } from "./tablecsv.js";
import { start as print } from "./print.js";
import { start as rows } from "./rows.js";
import { start as session } from "./session.js";
import { start as shortcuts } from "./shortcuts.js";
import { start as theme } from "./theme.js";
import { start as times } from "./times.js";
import { start as toasts } from "./toasts.js";

for (const start of [toasts, live, session, guard, dialogs, fragments, theme, copy, dropzone, rows, palette, shortcuts, times, charts, picture, tablecsv, print]) {
  start();
}
document.documentElement.dataset.ready = "";
