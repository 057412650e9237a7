"""The portal's own icons: strokes on a 24-unit square, drawn in the colour of the text beside them."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

ICONS: dict[str, str] = {
    "check": '<path d="m5 12.5 4.5 4.5L19 7.5"/>',
    "done": '<circle cx="12" cy="12" r="9"/><path d="m8 12.3 2.8 2.8L16 9.8"/>',
    "cross": '<path d="M6.5 6.5l11 11m0-11-11 11"/>',
    "bad": '<circle cx="12" cy="12" r="9"/><path d="m9 9 6 6m0-6-6 6"/>',
    "warn": '<path d="M12 4 2.8 19.5h18.4zM12 10v4.5"/><circle class="solid" cx="12" cy="17" r="1.1"/>',
    "info": '<circle cx="12" cy="12" r="9"/><path d="M12 11v5.5"/><circle class="solid" cx="12" cy="7.8" r="1.1"/>',
    "now": '<circle cx="12" cy="12" r="9"/><circle class="solid" cx="12" cy="12" r="4.5"/>',
    "next": '<circle cx="12" cy="12" r="9"/><path d="M8 12h7.5m-3-3.3 3.3 3.3-3.3 3.3"/>',
    "todo": '<circle cx="12" cy="12" r="9"/>',
    "later": '<circle cx="12" cy="12" r="9" stroke-dasharray="2.5 4"/>',
    "dot": '<circle class="solid" cx="12" cy="12" r="5"/>',
    "arrow": '<path d="M4 12h15m-6-6 6 6-6 6"/>',
    "back": '<path d="M20 12H5m6-6-6 6 6 6"/>',
    "down": '<path d="m6 9.5 6 6 6-6"/>',
    "right": '<path d="m9.5 6 6 6-6 6"/>',
    "plus": '<path d="M12 5v14M5 12h14"/>',
    "search": '<circle cx="10.8" cy="10.8" r="6.3"/><path d="m15.6 15.6 4.4 4.4"/>',
    "menu": '<path d="M4 7h16M4 12h16M4 17h16"/>',
    "more": '<circle class="solid" cx="5" cy="12" r="1.8"/><circle class="solid" cx="12" cy="12" r="1.8"/>'
    '<circle class="solid" cx="19" cy="12" r="1.8"/>',
    "inbox": '<path d="M3.5 13.5 6.5 5h11l3 8.5V19h-17zm0 0H9a3 3 0 0 0 6 0h5.5"/>',
    "settings": '<path d="M4 7h8m4 0h4M4 17h4m4 0h8"/><circle cx="14" cy="7" r="2.2"/><circle cx="10" cy="17" r="2.2"/>',
    "user": '<circle cx="12" cy="8" r="4"/><path d="M4.5 20a7.5 7.5 0 0 1 15 0"/>',
    "users": '<circle cx="9" cy="8" r="3.6"/><path d="M2.5 20a6.5 6.5 0 0 1 13 0M15.5 4.8a3.6 3.6 0 0 1 0 6.4M18 14.2'
    'A6.5 6.5 0 0 1 21.5 20"/>',
    "usecase": '<path d="M12 3.5 20.5 8v8L12 20.5 3.5 16V8zM3.5 8l8.5 4.5L20.5 8M12 12.5v8"/>',
    "decide": '<circle cx="12" cy="12" r="9"/><path d="m15.8 8.2-2.2 5.4-5.4 2.2 2.2-5.4z"/>',
    "data": '<ellipse cx="12" cy="6" rx="7.5" ry="2.8"/><path d="M4.5 6v12c0 1.6 3.4 2.8 7.5 2.8s7.5-1.2 7.5-2.8V6'
    'M4.5 12c0 1.6 3.4 2.8 7.5 2.8s7.5-1.2 7.5-2.8"/>',
    "train": '<path d="M4 19c3 0 4-12 8-12s4 8 8 8M4 4v16h16"/>',
    "evaluate": '<path d="M12 4v16M7 20h10M5 7h14M5 7l-2.5 6a2.8 2.8 0 0 0 5 0zM19 7l-2.5 6a2.8 2.8 0 0 0 5 0z"/>',
    "ship": '<path d="M20.5 3.5 3.5 10l7 3.5 3.5 7zM10.5 13.5l4-4"/>',
    "watch": '<path d="M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12z"/><circle cx="12" cy="12" r="3"/>',
    "jobs": '<path d="M4 6h10M4 12h16M4 18h7"/><circle class="solid" cx="18.5" cy="6" r="1.8"/>',
    "gateway": '<path d="M3.5 12H9m0 0c4 0 4-6 8-6h3m-11 6c4 0 4 6 8 6h3M17.5 3.5 20 6l-2.5 2.5m0 7L20 18l-2.5 2.5"/>',
    "review": '<path d="m4 7 1.6 1.6L8.5 5.7M4 16l1.6 1.6 2.9-2.9M12 7h8.5M12 16h8.5"/>',
    "clock": '<circle cx="12" cy="12" r="9"/><path d="M12 7v5.3l3.3 2"/>',
    "copy": '<rect x="8.5" y="8.5" width="11.5" height="11.5" rx="2"/><path d="M15.5 5.5V4.8A.8.8 0 0 0 14.7 4H4.8a.8.8 0 0 0'
    '-.8.8v9.9c0 .4.4.8.8.8h.7"/>',
    "download": '<path d="M12 4v11m-4.5-4.2L12 15.3l4.5-4.5M4.5 20h15"/>',
    "upload": '<path d="M12 15.5v-11M7.5 8.7 12 4.2l4.5 4.5M4.5 20h15"/>',
    "file": '<path d="M6 3.5h8l4.5 4.5v12.5H6zM13.5 3.5V8.5h5"/>',
    "play": '<path d="M8 5.5v13l10.5-6.5z"/>',
    "pause": '<path d="M8.5 6v12M15.5 6v12"/>',
    "stop": '<rect x="6.5" y="6.5" width="11" height="11" rx="1.5"/>',
    "retry": '<path d="M19.5 12a7.5 7.5 0 1 1-2.3-5.4M19.5 4v4.5H15"/>',
    "undo": '<path d="M8.5 5 4.5 9l4 4M4.5 9h9a5.5 5.5 0 0 1 0 11H10"/>',
    "link": '<path d="M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.3l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3a4 4 0 0 0 5.7 5.7l1-1"/>',
    "key": '<circle cx="8" cy="15.5" r="4.2"/><path d="m11 12.5 8.5-8.5m-3.3 3.3 2.8 2.8"/>',
    "lock": '<rect x="5" y="10.5" width="14" height="9.5" rx="2"/><path d="M8 10.5V8a4 4 0 0 1 8 0v2.5"/>',
    "trash": '<path d="M4.5 6.5h15M9.5 6.5V4h5v2.5M6.5 6.5l.8 13.5h9.4l.8-13.5"/>',
    "archive": '<path d="M3.5 4.5h17v4h-17zM5 8.5V20h14V8.5M9.5 12.5h5"/>',
    "edit": '<path d="m4.5 19.5 1-4.5L16 4.5l3.5 3.5L9 18.5z"/>',
    "filter": '<path d="M4 6h16M7 12h10M10 18h4"/>',
    "external": '<path d="M13.5 4.5h6v6m0-6L11 13M17.5 14v5.5h-13v-13H10"/>',
    "sun": '<circle cx="12" cy="12" r="4"/><path d="M12 2.8v2M12 19.2v2M2.8 12h2M19.2 12h2M5.5 5.5l1.4 1.4M17.1 17.1l1.4 1.4'
    'M18.5 5.5l-1.4 1.4M6.9 17.1l-1.4 1.4"/>',
    "moon": '<path d="M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z"/>',
    "system": '<circle cx="12" cy="12" r="8.5"/><path class="solid" d="M12 3.5a8.5 8.5 0 0 1 0 17z"/>',
    "out": '<path d="M14 4.5h5v15h-5M4.5 12H15m-3.5-3.5L15 12l-3.5 3.5"/>',
    "shield": '<path d="M12 3.5 19.5 6v6c0 4.5-3.2 7.3-7.5 8.5-4.3-1.2-7.5-4-7.5-8.5V6z"/>',
    "book": '<path d="M4.5 5A2.5 2.5 0 0 1 7 3.5h12.5v14H7A2.5 2.5 0 0 0 4.5 20zM4.5 20c0-.8.8-2.5 2.5-2.5M7 20.5h12.5"/>',
    "spark": '<path d="M12 3.5c.8 5 3.5 7.7 8.5 8.5-5 .8-7.7 3.5-8.5 8.5-.8-5-3.5-7.7-8.5-8.5 5-.8 7.7-3.5 8.5-8.5z"/>',
    "money": '<circle cx="12" cy="12" r="9"/><path d="M15 9c-.5-1.2-1.6-1.7-3-1.7-1.7 0-3 .8-3 2.2 0 3.2 6.2 1.5 6.2 4.8'
    ' 0 1.5-1.4 2.4-3.2 2.4-1.6 0-2.8-.7-3.3-2M12 5.7v1.6m0 9.4v1.6"/>',
    "chart": '<path d="M4 4v16h16M8 16v-4M12.5 16V8M17 16v-6"/>',
    "tag": '<path d="M4 4h7.5l8.5 8.5-7.5 7.5L4 11.5z"/><circle class="solid" cx="8" cy="8" r="1.4"/>',
    "keyboard": '<rect x="2.5" y="6" width="19" height="12" rx="2"/><path d="M6 10h.01M10 10h.01M14 10h.01M18 10h.01M8 14h8"/>',
}


def icon(name: str, label: str = "") -> SafeString:
    """The named icon as inline SVG: hidden from screen readers, unless it has a label of its own.

    Raises: KeyError for a name that is not drawn, so that a typing error is seen at once.
    """
    drawn = mark_safe(ICONS[name])  # noqa: S308  our own constants, no outside text
    if label:
        return format_html(
            '<svg class="icon" viewBox="0 0 24 24" role="img" aria-label="{}">{}</svg>', label, drawn
        )
    return format_html('<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">{}</svg>', drawn)


MARK = mark_safe(
    '<svg viewBox="0 0 24 24" aria-hidden="true"><path fill="none" stroke="currentColor" stroke-width="2.4" stroke-linecap="round"'
    ' d="M12 3.5a8.5 8.5 0 0 1 8.5 8.5M18.5 17.5a8.5 8.5 0 0 1-13 .3M3.5 12.5A8.5 8.5 0 0 1 7.2 5"/>'
    '<circle cx="12" cy="12" r="3.2" fill="currentColor"/></svg>'
)
