"""How the portal writes numbers, money and time for people. Knows no request, no clock and no language but English."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

MINUS = "\u2212"
NOT_KNOWN = "\u2013"

Number = int | float


def is_number(value: object) -> bool:
    """Whether the value can be written as a finite number (also after scaling it to percent)."""
    if isinstance(value, bool) or value is None:
        return False
    try:
        return abs(float(value)) <= 1e300  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False


def _fixed(value: float, digits: int, *, signed: bool = False) -> str:
    text = f"{abs(value):,.{digits}f}"
    # A value that rounds to zero has no sign: "−0.0" says something that is not so.
    is_zero = not any(c in "123456789" for c in text)
    sign = "" if is_zero else (MINUS if value < 0 else ("+" if signed else ""))
    return sign + text


def grouped(value: object, digits: int | None = None) -> str:
    """The number with thousands grouped: 12345 → "12,345"; floats keep up to two digits unless told."""
    if not is_number(value):
        return NOT_KNOWN
    number = float(value)  # type: ignore[arg-type]
    if digits is not None:
        return _fixed(number, digits)
    if isinstance(value, int):
        return f"{value:,}".replace("-", MINUS)
    text = _fixed(number, 2)
    return text.rstrip("0").rstrip(".") if "." in text else text


def signed(value: object, digits: int = 2) -> str:
    """The number with its sign always said: "+0.12" or "−0.12"."""
    return _fixed(float(value), digits, signed=True) if is_number(value) else NOT_KNOWN  # type: ignore[arg-type]


def usd(microusd: object) -> str:
    """Micro-dollars as dollars: to the cent from one dollar, to four digits below it."""
    if not is_number(microusd):
        return NOT_KNOWN
    dollars = float(microusd) / 1_000_000  # type: ignore[arg-type]
    size = abs(dollars)
    sign = MINUS if dollars < 0 else ""
    if size == 0:
        return "$0.00"
    if size < 0.0001:
        return f"under {sign}$0.0001"
    if size >= 0.995:
        return f"{sign}${size:,.2f}"
    text = f"{size:.4f}"
    return sign + "$" + (text[:-2] if text.endswith("00") else text)


def dollars(value: object, digits: int | None = None) -> str:
    """Whole dollars (not micro-dollars) as money: cents below 1,000 only where there are any."""
    if not is_number(value):
        return NOT_KNOWN
    number = float(value)  # type: ignore[arg-type]
    if digits is None:
        digits = 0 if abs(number) >= 1000 or number == int(number) else 2
    text = _fixed(abs(number), digits)
    return (MINUS if number < 0 and any(c in "123456789" for c in text) else "") + "$" + text


def percent(share: object, digits: int = 0) -> str:
    """A share (0 to 1) as a percentage: 0.904 → "90.4%" with one digit."""
    return _fixed(float(share) * 100, digits) + "%" if is_number(share) else NOT_KNOWN  # type: ignore[arg-type]


def points(difference: object, digits: int = 1) -> str:
    """A difference of two shares in percentage points, sign always said: 0.096 → "+9.6 pts"."""
    if not is_number(difference):
        return NOT_KNOWN
    return _fixed(float(difference) * 100, digits, signed=True) + " pts"  # type: ignore[arg-type]


def ms(value: object) -> str:
    """Milliseconds as people read them: "910 ms", "12.4 s"."""
    if not is_number(value):
        return NOT_KNOWN
    number = float(value)  # type: ignore[arg-type]
    if abs(number) >= 10_000:
        return _fixed(number / 1000, 1) + " s"
    if 0 < number < 0.05:
        return "< 0.1 ms"
    return _fixed(number, 0 if abs(number) >= 10 or number == int(number) else 1) + " ms"


def size(n_bytes: object) -> str:
    """Bytes in decimal units: "1.2 MB"."""
    if not is_number(n_bytes):
        return NOT_KNOWN
    number = float(n_bytes)  # type: ignore[arg-type]
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(number) < 999.5 or unit == "TB":
            whole = unit == "B" or abs(number) >= 100
            return _fixed(number, 0 if whole else 1) + f" {unit}"
        number /= 1000
    raise AssertionError("unreachable")


def duration(value: object) -> str:
    """Seconds or a timedelta in its two largest units: "4 min 12 s", "2 h 5 min", "0.8 s"."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if not is_number(value):
        return NOT_KNOWN
    seconds = float(value)  # type: ignore[arg-type]
    sign, seconds = (MINUS if seconds < 0 else ""), abs(seconds)
    if seconds < 9.95:
        return (
            sign
            + (f"{seconds:.1f}".removesuffix(".0") if seconds >= 0.1 or seconds == 0 else "under 0.1")
            + " s"
        )
    whole = round(seconds)
    if whole < 60:
        return f"{sign}{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{sign}{minutes} min" + (f" {rest} s" if rest else "")
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{sign}{hours:,} h" + (f" {minutes} min" if minutes else "")
    days, hours = divmod(hours, 24)
    return f"{sign}{days:,} days" + (f" {hours} h" if hours and days < 10 else "")


def p_value(value: object) -> str:
    """A p-value to two figures, never zero: "0.016", "< 0.001"."""
    if not is_number(value):
        return NOT_KNOWN
    number = float(value)  # type: ignore[arg-type]
    if number < 0.001:
        return "< 0.001"
    return f"{number:.3f}" if number < 0.1 else f"{number:.2f}"


def ago(moment: datetime, *, now: datetime) -> str:
    """The moment seen from now: "just now", "3 minutes ago", "in 2 hours", else the date."""
    seconds = (now - moment).total_seconds()
    away, future = abs(seconds), seconds < 0
    if away < 45:
        return "in a moment" if future and away >= 5 else "just now"
    for limit, unit, word in ((2700, 60, "minute"), (79200, 3600, "hour"), (14 * 86400, 86400, "day")):
        if away < limit:
            n = max(1, round(away / unit))
            words = f"{n} {word}" + ("" if n == 1 else "s")
            return f"in {words}" if future else f"{words} ago"
    return f"{moment.day} {moment:%b}" + ("" if moment.year == now.year else f" {moment.year}")


def exact(moment: datetime) -> str:
    """The moment in full, in UTC: "22 Nov 2026, 09:41:05 UTC"."""
    utc = moment.astimezone(UTC)
    return f"{utc.day} {utc:%b %Y, %H:%M:%S} UTC"


FORMATS = {
    "": grouped,
    "number": grouped,
    "percent": lambda v: percent(v, 1),
    "share": lambda v: grouped(v, 3),
    "points": points,
    "ms": ms,
    "usd": usd,
    "dollars": dollars,
    "duration": duration,
    "bytes": size,
    "signed": signed,
}


def as_unit(value: object, unit: str = "") -> str:
    """The value written in one of the units of `FORMATS`; an unknown unit, a plural, is written after the number."""
    if unit in FORMATS:
        return FORMATS[unit](value)  # type: ignore[operator]
    if not is_number(value):
        return NOT_KNOWN
    one = float(value) == 1 and len(unit) > 2  # type: ignore[arg-type]
    return f"{grouped(value)} {unit.removesuffix('s') if one else unit}"
