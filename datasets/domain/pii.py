"""Personal data by pattern and checksum, and how it is masked. No model, no list of names: what it finds is certain."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Match:
    """One piece of personal data: its kind and where it stands in the text."""

    kind: str
    start: int
    end: int


KINDS = {
    "email": "e-mail address",
    "card": "card number",
    "iban": "IBAN",
    "phone": "phone number",
    "ip": "IP address",
}

_EMAIL = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9][\w.+-]{0,63}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,5}\.[A-Za-z]{2,24}\b"
)
_CARD = re.compile(r"(?<![\d-])\d(?:[ -]?\d){12,18}(?![\d-])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_PHONE = re.compile(
    r"(?<![\w.,-])(?<!\d )(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d(?:[ .-]?\d){6,11}"
    r"|\(\d{3}\)[ .-]?\d{3}[ .-]\d{4}|\d{3}[.-]\d{3}[.-]\d{4}|0\d{2,4}[ /-]\d{3,4}[ -]?\d{3,5})(?![\w-])(?! \d)"
)
_IP = re.compile(
    r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])|(?<![\w:])(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}(?![\w:])"
)
_DIGIT = re.compile(r"[0-9]")
# One cheap look that most texts fail: no @ and too few digits means nothing to find.
_WORTH_A_LOOK = re.compile(r"@|\d[\d .()/-]{5,}\d|[A-Z]{2}\d{2}|[0-9a-fA-F]:[0-9a-fA-F]")


def luhn(digits: str) -> bool:
    """Whether the check digit of a card number is right."""
    total = 0
    for place, char in enumerate(reversed(digits)):
        value = int(char)
        if place % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def iban_is_valid(text: str) -> bool:
    """Whether the check digits of an IBAN are right (ISO 13616: the number modulo 97 is 1)."""
    compact = text.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    number = "".join(str(int(c, 36)) for c in compact[4:] + compact[:4])
    return int(number) % 97 == 1


def _is_card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    # 13 to 19 digits, a known first digit, not one digit all along
    return 13 <= len(digits) <= 19 and digits[0] in "23456" and len(set(digits)) > 1 and luhn(digits)


def _is_ip(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    # 0.0.0.0 or 127.0.0.1 name no person; a version such as 1.2.3.4 cannot be told from an address
    return not (address.is_unspecified or address.is_loopback)


def find_pii(text: str) -> list[Match]:
    """Personal data in reading order, never overlapping; a longer kind of number wins over a shorter one."""
    if "@" not in text and not _DIGIT.search(text):
        return []
    if not _WORTH_A_LOOK.search(text):
        return []
    found: list[Match] = []

    def add(kind: str, pattern: re.Pattern[str], check=lambda _: True) -> None:
        for hit in pattern.finditer(text):
            start, end = hit.span()
            if check(hit.group()) and not any(m.start < end and start < m.end for m in found):
                found.append(Match(kind, start, end))

    if "@" in text:
        add("email", _EMAIL)
    add("iban", _IBAN, iban_is_valid)
    add("card", _CARD, _is_card)
    add("ip", _IP, _is_ip)
    add("phone", _PHONE, lambda t: 9 <= len(re.sub(r"\D", "", t)) <= 15)
    return sorted(found, key=lambda m: m.start)


def mask_pii(text: str) -> str:
    """The text with every find replaced by its kind in square brackets; masking twice changes nothing."""
    out, position = [], 0
    for match in find_pii(text):
        out += [text[position : match.start], f"[{match.kind}]"]
        position = match.end
    return "".join([*out, text[position:]])
