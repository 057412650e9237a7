"""How a score is written on the pages of deciding. Builds no answer, only its words."""

from __future__ import annotations

from django import template

from decisions.domain import scoring

register = template.Library()


@register.filter
def hundredths(points: object) -> str:
    """{{ 85|hundredths }}: "0.85"; a dash for what is not known."""
    return "–" if points is None else scoring.hundredths(int(points))  # type: ignore[call-overload]


@register.filter
def signed_hundredths(points: object) -> str:
    """{{ 40|signed_hundredths }}: "+0.40"."""
    if points is None:
        return "–"
    text = scoring.hundredths(int(points))  # type: ignore[call-overload]
    return f"+{text}" if int(points) > 0 else text  # type: ignore[call-overload]
