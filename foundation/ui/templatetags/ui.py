"""Page parts as template tags. They draw; what is true was decided before."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from django import template
from django.middleware.csrf import get_token
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify

from foundation.ui import charts, formats, icons
from foundation.ui.diffing import words_changed
from foundation.ui.navigation import Shown, shown_groups, team_url

register = template.Library()

# --- numbers and time ----------------------------------------------------------------------------------------------


@register.filter
def grouped(value: object, digits: int | None = None) -> str:
    """{{ n|grouped }} or {{ x|grouped:2 }}: thousands grouped."""
    return formats.grouped(value, digits)


@register.filter
def signed(value: object, digits: int = 2) -> str:
    """{{ x|signed:1 }}: the sign always said."""
    return formats.signed(value, digits)


@register.filter
def soft(text: object) -> SafeString:
    """{{ label|soft }}: the text, escaped, that may break after an underscore, a dash or a slash before it breaks words."""
    return format_html_join(
        mark_safe("<wbr>"), "{}", ((part,) for part in re.split(r"(?<=[_/-])", str(text)) if part)
    )


@register.filter
def usd(value: object) -> str:
    """{{ micro|usd }}: micro-dollars as money."""
    return formats.usd(value)


@register.filter
def dollars(value: object, digits: int | None = None) -> str:
    """{{ amount|dollars }}: dollars as money."""
    return formats.dollars(value, digits)


@register.filter
def percent(value: object, digits: int = 0) -> str:
    """{{ share|percent:1 }}: a share from 0 to 1 as a percentage."""
    return formats.percent(value, digits)


@register.filter
def points(value: object, digits: int = 1) -> str:
    """{{ difference|points }}: a difference of shares in points."""
    return formats.points(value, digits)


@register.filter
def ms(value: object) -> str:
    """{{ latency_ms|ms }}."""
    return formats.ms(value)


@register.filter(name="bytes")
def bytes_(value: object) -> str:
    """{{ size|bytes }}."""
    return formats.size(value)


@register.filter
def duration(value: object) -> str:
    """{{ seconds_or_timedelta|duration }}."""
    return formats.duration(value)


@register.filter
def pvalue(value: object) -> str:
    """{{ p|pvalue }}: never shown as zero."""
    return formats.p_value(value)


@register.filter
def get(mapping: Any, key: Any) -> Any:
    """{{ mapping|get:key }}: the value under a key that is itself a variable; nothing when it is missing."""
    try:
        return mapping[key]
    except (KeyError, IndexError, TypeError):
        return None


@register.simple_tag
def when(moment: datetime | date | None, missing: str = "never") -> SafeString | str:
    """{% when dt %}: how long ago, with the exact UTC time on hover and for machines."""
    if moment is None:
        return missing
    if not isinstance(moment, datetime):
        return format_html(
            '<time datetime="{}">{}</time>', moment.isoformat(), f"{moment.day} {moment:%b %Y}"
        )
    if timezone.is_naive(moment):
        moment = moment.replace(tzinfo=UTC)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.astimezone(UTC).isoformat(timespec="seconds"),
        formats.exact(moment),
        formats.ago(moment, now=timezone.now()),
    )


# --- words and signs -----------------------------------------------------------------------------------------------

PILL_ICONS = {"good": "check", "warn": "warn", "bad": "cross", "live": "now"}


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """{% icon "check" %} or {% icon "lock" "Sealed" %}: hidden from screen readers unless it has a label."""
    return icons.icon(name, label)


@register.simple_tag
def mark() -> SafeString:
    """{% mark %}: the portal's own sign."""
    return icons.MARK


@register.simple_tag
def pill(kind: str, text: object, icon: str | None = None) -> SafeString:
    """{% pill "good" "better" %}: kinds good, warn, bad, live, "" (neutral). Each tone brings its sign."""
    name = PILL_ICONS.get(kind, "") if icon is None else icon
    return format_html('<span class="pill {}">{}{}</span>', kind, icons.icon(name) if name else "", text)


@register.simple_tag
def facts(items: Any) -> SafeString:
    """{% facts items %}: big figures over small names. Items are {name: value} or (name, value[, note]) rows."""
    rows = list(items.items() if isinstance(items, Mapping) else items)
    return format_html(
        '<dl class="facts">{}</dl>',
        format_html_join(
            "",
            "<div><dt>{}</dt><dd>{}</dd>{}</div>",
            (
                (
                    row[0],
                    row[1],
                    format_html('<dd class="note">{}</dd>', row[2]) if len(row) > 2 and row[2] else "",
                )
                for row in rows
            ),
        ),
    )


@register.simple_tag
def pairs(items: Any) -> SafeString:
    """{% pairs items %}: a quiet two-column list of names and values, for settings and metadata."""
    rows = items.items() if isinstance(items, Mapping) else items
    return format_html(
        '<dl class="pairs">{}</dl>',
        format_html_join("", "<div><dt>{}</dt><dd>{}</dd></div>", ((row[0], row[1]) for row in rows)),
    )


@register.simple_tag
def interval(
    low: object, high: object, mean: object = None, unit: str = "share", n: int | None = None
) -> SafeString:
    """{% interval low high mean unit="points" n=218 %}: "+9.6 pts (3.2 to 16.1)", and n where it is given.

    Units: share, percent, points, ms, usd, dollars, number, duration, or a word of your own.
    """
    if not (formats.is_number(low) and formats.is_number(high)):
        return format_html(
            '<span class="interval"><b>{}</b> <span>no interval</span></span>', formats.as_unit(mean, unit)
        )
    if unit in ("points", "percent"):
        digits, scale = 1, 100
        low_text, high_text = (formats.grouped(float(x) * scale, digits) for x in (low, high))  # type: ignore[arg-type]
    else:
        low_text, high_text = formats.as_unit(low, unit), formats.as_unit(high, unit)
    tail = format_html(", n = {}", formats.grouped(n)) if n is not None else ""
    head = format_html("<b>{}</b> ", formats.as_unit(mean, unit)) if formats.is_number(mean) else ""
    return format_html(
        '<span class="interval">{}<span>({} to {}{})</span></span>', head, low_text, high_text, tail
    )


@register.simple_tag
def meter(value: object, max: float = 1, label: str = "", tone: str = "") -> SafeString:
    """{% meter 0.85 %}: a thin bar from 0 to `max`; hidden from screen readers unless it has a label."""
    number = float(value) if formats.is_number(value) and max else 0.0  # type: ignore[arg-type]
    width = min(100.0, 100 * number / max) if number > 0 else 0.0
    return format_html(
        '<svg class="meter {}" viewBox="0 0 100 8" preserveAspectRatio="none" {}>'
        '<rect width="100" height="8" class="rest"/><rect width="{}" height="8" class="full"/></svg>',
        tone,
        format_html('role="img" aria-label="{}"', label) if label else mark_safe('aria-hidden="true"'),
        f"{width:.2f}",
    )


@register.simple_tag
def progress(done: object, total: object, label: str = "", failed: object = 0) -> SafeString:
    """{% progress done total "312 of 1,000 rows" failed=3 %}: a bar with its value for screen readers."""
    whole = float(total) if formats.is_number(total) and float(total) > 0 else 0.0  # type: ignore[arg-type]
    parts = [
        min(100.0, max(0.0, 100 * float(x) / whole)) if whole and formats.is_number(x) else 0.0  # type: ignore[arg-type]
        for x in (done, failed)
    ]
    return format_html(
        '<div class="progress" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{}" aria-label="{}">'
        '<svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect width="100" height="6" class="rest"/>'
        '<rect width="{}" height="6" class="full"/><rect x="{}" width="{}" height="6" class="part"/></svg></div>',
        math.floor(parts[0]),
        label or "Progress",
        f"{parts[0]:.2f}",
        f"{parts[0]:.2f}",
        f"{min(parts[1], 100 - parts[0]):.2f}",
    )


@register.simple_tag
def diff(before: object, after: object) -> SafeString:
    """{% diff before after %}: words taken out and put in, marked by line and underline as well as by colour."""
    tags = {"same": "{}", "added": "<ins>{}</ins>", "removed": "<del>{}</del>"}
    pieces = words_changed("" if before is None else str(before), "" if after is None else str(after))
    body = format_html_join("", "{}", ((format_html(tags[piece.kind], piece.text),) for piece in pieces))
    return format_html('<div class="diff">{}</div>', body)


# --- boxes ---------------------------------------------------------------------------------------------------------


@register.simple_block_tag(end_name="endcard")
def card(
    content: str,
    title: str = "",
    link_url: str = "",
    link_text: str = "",
    note: str = "",
    id: str = "",
    cls: str = "",
) -> SafeString:
    """{% card "Title" link_url=url link_text="Open" note="…" id="x" cls="flush" %}…{% endcard %}"""
    side: Any = ""
    if link_url:
        side = format_html('<a href="{}">{}</a>', link_url, link_text or "Open")
    elif note:
        side = format_html('<span class="muted small">{}</span>', note)
    heading_id = f"{id or 'card-' + slugify(title)}-title" if title else ""
    head = format_html('<header><h2 id="{}">{}</h2>{}</header>', heading_id, title, side) if title else ""
    return format_html(
        '<section class="card {}"{}{}>{}{}</section>',
        cls,
        format_html(' id="{}"', id) if id else "",
        format_html(' aria-labelledby="{}"', heading_id) if title else "",
        head,
        content,
    )


@register.simple_block_tag(end_name="endcallout")
def callout(content: str, tone: str = "", title: str = "") -> SafeString:
    """{% callout "warn" "Title" %}…{% endcallout %}: one thing that must be seen. Tones good, warn, bad, "" (info)."""
    name = {"good": "done", "warn": "warn", "bad": "bad"}.get(tone, "info")
    head = format_html("<b>{}</b> ", title) if title else ""
    return format_html('<div class="callout {}">{}<div class="stack tight"><div>{}{}</div></div></div>', tone,
                       icons.icon(name), head, content)  # fmt: skip


@register.inclusion_tag("_ui/empty.html")
def empty(
    title: str, text: str = "", url: str = "", label: str = "", icon: str = "spark", second_url: str = "",
    second_label: str = "", primary: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """{% empty "No datasets yet" "What it is and why." url "Import a file" %}: what, why, one action.

    `second_url`, `second_label`: sample data. `primary=True` where this is the page's one primary button.
    """
    return locals()


@register.simple_block_tag(end_name="endhow")
def how(content: str, label: str = "How computed", side: str = "") -> SafeString:
    """{% how "How computed" %}…{% endhow %}: a note that opens beside a number. `side="left"` at the right edge."""
    return format_html(
        '<details class="how {}"><summary>{}</summary><div>{}</div></details>', side, label, content
    )


@register.simple_block_tag(end_name="enddialog")
def dialog(content: str, id: str, title: str, cls: str = "") -> SafeString:
    """{% dialog "id" "Title" %}…{% enddialog %}, opened by <button type="button" command="show-modal" commandfor="id">."""
    return format_html(
        '<dialog id="{}" class="{}" aria-labelledby="{}-title"><div><header><h2 id="{}-title">{}</h2>'
        '<button type="button" class="close" command="close" commandfor="{}" aria-label="Close">{}</button></header>'
        "{}</div></dialog>",
        id, cls, id, id, title, id, icons.icon("cross"), content,
    )  # fmt: skip


@register.inclusion_tag("_ui/confirm_button.html", takes_context=True)
def confirm_button(
    context: template.Context, url: str, label: str, title: str = "", text: str = "", confirm: str = "",
    tone: str = "danger", typed: str = "", cls: str = "", icon: str = "", **fields: Any,
) -> dict[str, Any]:  # fmt: skip
    """{% confirm_button url "Delete" title="Delete v3?" text="…" confirm="Delete" typed="v3" tone="danger" %}

    A button that asks before it posts to `url`. `typed` must be written by hand first (sent as `typed`); further
    keyword arguments are sent as hidden fields. It holds its own form, so it may not stand inside another one.
    """
    request = context.get("request")
    key = slugify(f"{url} {label} {' '.join(str(v) for v in fields.values())}")
    return {
        "url": url, "label": label, "title": title or f"{label}?", "text": text, "confirm": confirm or label, "tone": tone,
        "typed": typed, "cls": cls, "icon": icon, "fields": fields, "id": f"ask-{key}",
        "token": get_token(request) if request else "", "here": request.get_full_path() if request else "",
    }  # fmt: skip


@register.inclusion_tag("_ui/post_button.html", takes_context=True)
def post_button(
    context: template.Context, url: str, label: str, cls: str = "", icon: str = "", **fields: Any
) -> dict[str, Any]:
    """{% post_button url "Promote" cls="primary" icon="arrow" step=2 %}: a form of one button that posts at once."""
    request = context.get("request")
    return {"url": url, "label": label, "cls": cls, "icon": icon, "fields": fields,
            "token": get_token(request) if request else ""}  # fmt: skip


@register.simple_tag
def copy(text: object, label: str = "Copy") -> SafeString:
    """{% copy text %}: a button that puts the text on the clipboard. Only shown where scripts run."""
    return format_html(
        '<button type="button" class="btn small quiet" data-copy="{}" hidden>{} <span>{}</span></button>', text,
        icons.icon("copy"), label,
    )  # fmt: skip


@register.simple_tag
def code(text: object, copy: bool = True, wrap: bool = False, label: str = "Code") -> SafeString:
    """{% code text %}: a block of code or JSON with a copy button, scrolling inside itself."""
    button = globals()["copy"](text) if copy else ""
    return format_html(
        '<div class="code"><header><span>{}</span>{}</header>'
        '<pre class="{}" tabindex="0" role="region" aria-label="{}"><code>{}</code></pre></div>',
        label,
        button,
        "wrap" if wrap else "",
        label,
        text,
    )


# --- ways through --------------------------------------------------------------------------------------------------

STATE_WORDS = {
    "done": "Done", "now": "Now", "next": "Next", "warn": "Needs attention", "todo": "To do", "later": "Not yet",
}  # fmt: skip
STATE_ICONS = {"done": "done", "now": "now", "next": "next", "warn": "warn", "todo": "todo", "later": "later"}


@register.inclusion_tag("_ui/rail.html")
def rail(stages: Iterable[tuple[Any, Any]], next: Any = None) -> dict[str, Any]:
    """{% rail stages %} or {% rail stages next %}: the six stages; with `next`, the next-step card below them.

    `stages` is a list of (stage with .title, state with .state .headline .url).
    """
    rows = [
        {
            "title": getattr(stage, "title", stage),
            "state": state.state,
            "word": STATE_WORDS.get(state.state, state.state),
            "icon": STATE_ICONS.get(state.state, "todo"),
            "headline": state.headline,
            "url": getattr(state, "url", ""),
        }
        for stage, state in stages
    ]
    return {"rows": rows, **_step(next)}


@register.simple_tag
def rail_dots(stages: Iterable[tuple[Any, Any]]) -> SafeString:
    """{% rail_dots stages %}: the rail in six small marks, for lists; says itself in words to screen readers."""
    rows = [(getattr(stage, "title", stage), state.state) for stage, state in stages]
    said = ", ".join(f"{title}: {STATE_WORDS.get(state, state).lower()}" for title, state in rows)
    dots = format_html_join("", '<i class="{}"></i>', ((state,) for _, state in rows))
    return format_html('<span class="dots" role="img" aria-label="{}" title="{}">{}</span>', said, said, dots)


def _step(found: Any) -> dict[str, Any]:
    stage, state = found if isinstance(found, tuple) else (None, found)
    return {"stage": getattr(stage, "title", stage) or "", "step": state}


@register.inclusion_tag("_ui/next_step.html")
def next_step(state: Any, stage: Any = None) -> dict[str, Any]:
    """{% next_step state %}: the one thing to do now. Takes a state (.headline .action .url .blocker) or (stage, state)."""
    found = _step(state)
    if stage is not None:
        found["stage"] = getattr(stage, "title", stage)
    return found


@register.inclusion_tag("_ui/tabs.html")
def tabs(items: Iterable[Any], label: str = "Parts of this page") -> dict[str, Any]:
    """{% tabs items %}: links; items are (label, url, is_current[, count]) or dicts of label, url, current, count."""
    rows = [
        item
        if isinstance(item, Mapping)
        else dict(zip(("label", "url", "current", "count"), item, strict=False))
        for item in items
    ]
    return {"items": rows, "label": label}


@register.inclusion_tag("_ui/pagination.html", takes_context=True)
def pagination(
    context: template.Context, next: Any = None, prev: Any = None, note: str = "", param: str = "after",
    prev_param: str = "before", target: str = "",
) -> dict[str, Any]:  # fmt: skip
    """{% pagination next=cursor prev=cursor note="1–50 of 2,184" %}: earlier and later, keeping the other parameters.

    Cursors go into ?after= and ?before=. `target` is the id of the part to swap; without it the page is loaded.
    """
    request = context["request"]

    def address(name: str, cursor: Any) -> str:
        if cursor in (None, ""):
            return ""
        query = request.GET.copy()
        for old in (param, prev_param):
            query.pop(old, None)
        query[name] = str(cursor)
        return f"{request.path}?{query.urlencode()}"

    return {
        "next_url": address(param, next),
        "prev_url": address(prev_param, prev),
        "note": note,
        "target": target,
    }


@register.inclusion_tag("_ui/lineage.html")
def lineage(items: Iterable[Any]) -> dict[str, Any]:
    """{% lineage items %}: use case → dataset → run → version; items are (label, url) or (label, url, is_current).

    An item without an address is one that does not exist yet, and is drawn so.
    """
    rows = [(*item, False)[:3] for item in items]
    return {"items": rows}


@register.simple_tag(takes_context=True)
def chip(
    context: template.Context, label: str, param: str, value: object = "", n: object = None
) -> SafeString:
    """{% chip "Regressions" "show" "worse" n=16 %}: a filter as a link; on, when the address already says so."""
    request = context["request"]
    query = request.GET.copy()
    is_on = query.get(param, "") == str(value)
    for name in ("after", "before", "page"):
        query.pop(name, None)
    if value == "" or value is None:
        query.pop(param, None)
    else:
        query[param] = str(value)
    return format_html(
        '<a class="chip" href="?{}"{}>{}{}</a>',
        query.urlencode(),
        mark_safe(' aria-current="true"') if is_on else "",
        label,
        format_html(' <span class="n">{}</span>', formats.grouped(n)) if n is not None else "",
    )


@register.simple_tag(takes_context=True)
def sort_by(context: template.Context, label: str, key: str, default: str = "") -> SafeString:
    """{% sort_by "Score" "score" %} inside a <th>: a link that sorts, and turns on the next press.

    The address says `sort=score` or `sort=-score`; unknown keys are the view's to refuse.
    """
    request = context["request"]
    now = request.GET.get("sort", default)
    query = request.GET.copy()
    for name in ("after", "before"):
        query.pop(name, None)
    query["sort"] = f"-{key}" if now == key else key
    arrow = "↑" if now == key else ("↓" if now == f"-{key}" else "")
    said = {"↑": "sorted upwards", "↓": "sorted downwards"}.get(arrow, "")
    return format_html(
        '<a href="?{}">{}{}</a>', query.urlencode(), label,
        format_html(' <span aria-hidden="true">{}</span><span class="vh">, {}</span>', arrow, said) if arrow else "",
    )  # fmt: skip


@register.simple_tag(takes_context=True)
def navigation(context: template.Context) -> list[tuple[str, list[Shown]]]:
    """{% navigation as nav %}: the groups of the left navigation for the team this page is about."""
    request = context.get("request")
    if request is None:
        return []
    # Drawn twice (side and top bar) and listed once more among the shortcuts: badges are asked once.
    if not hasattr(request, "shown_navigation"):
        team = context.get("team")
        request.shown_navigation = shown_groups(request, team.slug if team else None)
    return request.shown_navigation


@register.simple_tag
def team_home(slug: str) -> str:
    """{% team_home team.slug %}: where choosing this team leads."""
    return team_url(slug)


# --- small charts that stand inside a line -------------------------------------------------------------------------


@register.simple_tag
def whisker(
    low: object, high: object, mean: object, span: float | None = None, tone: str = "", label: str = ""
) -> SafeString:
    """{% whisker low high mean span=0.2 tone="good" label="…" %}: a difference and its interval around zero."""
    return charts.whisker(low, high, mean, span=span, tone=tone, label=label)


@register.simple_tag
def sparkline(values: Iterable[object], label: str = "") -> SafeString:
    """{% sparkline values "Requests an hour" %}."""
    return charts.sparkline(list(values), label=label)


@register.simple_tag
def shares(parts: Iterable[Any], label: str = "") -> SafeString:
    """{% shares parts %}: one bar of several parts; parts are (name, value[, tone])."""
    return charts.shares(parts, label=label)


@register.simple_tag(takes_context=True)
def form_errors(context: template.Context, form: Any) -> SafeString | str:
    """{% form_errors form %}: what is wrong in the form, at its top, each line a link to its field."""
    if not form or not form.is_bound or not form.errors:
        return ""
    lines = [(f"#{form[name].id_for_label or form[name].auto_id}", form[name].label, error)
             for name, errors in form.errors.items() if name in form.fields for error in errors]  # fmt: skip
    general = format_html_join("", "<li>{}</li>", ((error,) for error in form.non_field_errors()))
    linked = format_html_join("", '<li><a href="{}">{}</a>: {}</li>', lines)
    n = len(lines) + len(form.non_field_errors())
    return format_html(
        '<div class="summary-errors" role="alert" tabindex="-1" data-focus><b>{}</b><ul>{}{}</ul></div>',
        "One thing to mend" if n == 1 else f"{n} things to mend", general, linked,
    )  # fmt: skip


@register.filter
def described(field: Any) -> Any:
    """{{ field|described }}: the widget, told where its help and its error stand, and whether it is wrong."""
    ids = " ".join(
        f"{field.auto_id}_{part}"
        for part, there in (("helptext", field.help_text), ("error", field.errors))
        if there
    )
    attrs: dict[str, Any] = {"aria-describedby": ids} if ids else {}
    if field.errors:
        attrs["aria-invalid"] = "true"
    return field.as_widget(attrs=attrs)


@register.filter
def pattern(text: object) -> str:
    """{{ word|pattern }}: a regular expression for an input that accepts exactly this text."""
    return re.sub(r"([\\^$.*+?()\[\]{}|/-])", r"\\\1", str(text))
