"""Personal data and secrets by pattern, checksum and a few words around them; how they are masked or replaced.

No model and no list of names: what it finds is likely, what it misses (a name, a street) a person must see. How good it
is was measured on texts written before it (datasets/pii_measured.py).
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np


@dataclass(frozen=True, slots=True)
class Match:
    """One piece of personal data: its kind and where it stands in the text."""

    kind: str
    start: int
    end: int


KINDS = {
    "email": "e-mail address",
    "phone": "phone number",
    "iban": "IBAN",
    "card": "card number",
    "ssn": "US social security number",
    "id": "national id number",
    "ip": "IP address",
    "key": "key or password",
    "url": "address with a password in it",
}

_EMAIL = re.compile(
    r"(?<![\w.+%'-])(?:\w[\w.+%'-]{0,63}|\"[\w. +-]{1,60}\")(?<!\.)@"
    r"[^\W_](?:[\w-]{0,62})(?:\.[^\W_][\w-]{0,62}){0,5}\.[^\W\d_]{2,24}(?![\w-])"
)
_URL = re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s/:@<>\"']{0,100}:[^\s/@<>\"']{1,200}@[^\s<>\"')\]]+")
# The digits behind a decimal point are no card: one in forty random fractions passes the checksum.
_CARD = re.compile(r"(?<![\d-])(?<!\d\.)\d(?:[ -]?\d){12,18}(?![\d-])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_PHONE = re.compile(
    r"(?<![\w.,-])(?<!\d )(?:"
    r"(?:\+|00(?=[1-9]\d{0,2}[ .-]))[1-9]\d{0,2}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d(?:[ .-]?\d){6,11}"  # +49 …, 0049 …
    r"|(?:1[ .-])?\(\d{3}\)[ .-]?\d{3}[ .-]\d{4}"  # (555) 123-4567
    r"|\(\d{2,5}\)[ .-]?\d{3,5}[ .-]?\d{3,5}"  # (020) 7946 0018
    r"|(?:1[.-])?\d{3}[.-]\d{3}[.-]\d{4}"  # 1-800-555-0199
    r"|[2-9]\d{2} [2-9]\d{2} \d{4}"  # 202 555 0143
    r"|0\d(?:[ .]\d{2}){4}"  # 01 23 45 67 89
    r"|0\d{2,4}[ /-]\d{3,4}[ -]?\d{3,5}"  # 0171 2345678
    r")(?![\w-])(?! \d)(?!\.\d)"
)
_BARE_PHONE = re.compile(r"(?<![\w.,-])\d{9,12}(?![\w.,-]*\d)")
_CALLS = re.compile(
    r"(?:phone|tel(?:efon|ephone|\.)?|mobile|cell|call(?: me)?(?: at| on)?|whatsapp|handy|my number(?: is)?)[ :.#]{0,3}$",
    re.IGNORECASE,
)
_IP4 = re.compile(r"(?<![\d.\w])(?:\d{1,3}\.){3}\d{1,3}(?![\d\w])(?!\.\d)")
_IP6 = re.compile(r"(?<![\w:.])[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7}(?![\w:])")
# A version or a section of a text has the shape of an address; the word before it tells.
_NUMBERED = re.compile(
    r"(?:version|release|firmware|build|driver|upgrade|update|section|chapter|figure|abschnitt|kapitel|\bver?\.?)"
    r"[^!?\n]{0,30}$",
    re.IGNORECASE,
)
_SSN = re.compile(r"(?<![\w.-])(\d{3})([ -]?)(\d{2})\2(\d{4})(?![\w-])")
_SOCIAL = re.compile(r"(?:\bssn|social)[\w .:#]{0,25}$", re.IGNORECASE)
_KEY = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_\w{40,}"
    r"|sk-(?:ant-|proj-|svcacct-)?[A-Za-z0-9_-]{32,}|[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"
    r"|xox[abeprs]-[A-Za-z0-9-]{20,}|AIza[\w-]{30,}|ya29\.[\w-]{20,}|glpat-[\w-]{18,}|hf_[A-Za-z0-9]{30,}"
    r"|npm_[A-Za-z0-9]{30,}|SG\.[\w-]{16,}\.[\w-]{16,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"
    r"|pypi-[\w-]{40,}|dop_v1_[0-9a-f]{40,}"
    r")"
)
_KEY_SIGNS = (
    "AKIA", "ASIA", "AGPA", "AIDA", "AROA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "sk-", "k_live_",
    "k_test_", "xox", "AIza", "ya29.", "glpat-", "hf_", "npm_", "SG.", "eyJ", "pypi-", "dop_v1_",
)  # fmt: skip
_SECRET = re.compile(
    r"(?:api[_ -]?key|access[_ -]?key|secret|token|passwor[dt]|passwd|\bpwd)(?: ?[=:] ?| is | lautet )[\"'“]?"
    r"([^\s\"'“”<>$*()\[\]{}]{8,200})",
    re.IGNORECASE,
)
_SECRET_SIGNS = ("key", "secret", "token", "passw", "pwd")
_PLACEHOLDER = re.compile(r"your|xxxx|\.\.\.|example_|replaced|changeme|environ", re.IGNORECASE)
_DNI = re.compile(r"(?<![\w-])(?:\d{8}|[XYZ]\d{7})[A-Z](?![\w-])")
_FISCALE = re.compile(r"\b[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]\b")
_CPF = re.compile(r"(?<![\w.-])\d{3}\.\d{3}\.\d{3}-\d{2}(?![\w-])")
_NIR = re.compile(r"(?<![\w.-])[12] ?\d{2} ?(?:0[1-9]|1[0-2]) ?\d{2} ?\d{3} ?\d{3} ?\d{2}(?![\w-])")
_PESEL = re.compile(r"(?<![\w.-])\d{11}(?![\w-])")
_PESEL_SAID = re.compile(r"pesel[\w .:#]{0,10}$", re.IGNORECASE)
_GOODS = re.compile(r"(?:ean|gtin|isbn(?:-1[03])?|barcode|imei)[ :.#]{0,3}$", re.IGNORECASE)

_DIGIT = re.compile(r"[0-9]")
# One cheap look that most texts fail: too few digits in a row means no number of these kinds.
_NUMBER = re.compile(r"\d[\d .()/-]{5,}\d|[A-Z]{2}\d{2}")
_NOT_DIGIT = re.compile(r"\D")


# --- checksums ---------------------------------------------------------------------------------------------------


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


def _card_length_fits(digits: str) -> bool:
    """Whether a scheme issues numbers of this beginning and length (ISO/IEC 7812 ranges)."""
    n, two, four = len(digits), int(digits[:2]), int(digits[:4])
    if digits[0] == "4":
        return n in (13, 16, 19)
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return n == 16
    if two in (34, 37):
        return n == 15
    if two in (30, 36, 38, 39):
        return n == 14
    if two == 35:
        return n == 16
    return two in (50, 56, 57, 58, 60, 62, 63, 64, 65, 67) and 16 <= n <= 19


def _is_card(text: str) -> bool:
    digits = _NOT_DIGIT.sub("", text)
    return (
        13 <= len(digits) <= 19 and len(set(digits)) > 1 and _card_length_fits(digits) and luhn(digits)
    )  # fmt: skip


def _is_ip4(text: str) -> bool:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return False
    # 127.0.0.1, 0.x and network masks name no person.
    return not (address.is_loopback or text.startswith(("0.", "255.")))


def _is_ip6(text: str) -> bool:
    groups = [group for group in text.split(":") if group]
    if len(groups) < 3 or max(map(len, groups)) < 3:
        return False  # "16::9" is an address by the letter; nobody writes one like that
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"


def _is_dni(text: str) -> bool:
    """Spain: the letter is the number modulo 23; X, Y, Z of foreigners stand for 0, 1, 2."""
    number = text[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return _DNI_LETTERS[int(number) % 23] == text[-1]


_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16,
         10, 22, 25, 24, 23),
        strict=True,
    )
)  # fmt: skip


def _is_fiscale(text: str) -> bool:
    """Italy: the last letter is a weighted sum of the others modulo 26 (D.M. 23.12.1976)."""
    total = sum(
        _ODD[c] if place % 2 == 0 else int(c) if c.isdigit() else ord(c) - 65
        for place, c in enumerate(text[:-1])
    )
    return chr(65 + total % 26) == text[-1]


def _is_cpf(text: str) -> bool:
    """Brazil: two check digits, each a weighted sum modulo 11."""
    digits = [int(c) for c in text if c.isdigit()]
    if len(set(digits)) == 1:
        return False
    for n in (9, 10):
        rest = sum(d * (n + 1 - i) for i, d in enumerate(digits[:n])) % 11
        if digits[n] != (0 if rest < 2 else 11 - rest):
            return False
    return True


def _is_nir(text: str) -> bool:
    """France: the last two digits are 97 minus the number modulo 97."""
    digits = text.replace(" ", "")
    return 97 - int(digits[:13]) % 97 == int(digits[13:])


def _is_pesel(text: str) -> bool:
    """Poland: a weighted sum modulo 10, after a date that exists."""
    weights = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)
    if (10 - sum(int(c) * w for c, w in zip(text, weights, strict=False)) % 10) % 10 != int(text[10]):
        return False
    month = int(text[2:4])
    century = {0: 1900, 1: 2000, 2: 2100, 3: 2200, 4: 1800}[month // 20]
    try:
        date(century + int(text[:2]), month % 20, int(text[4:6]))
    except ValueError:
        return False
    return True


def _is_ssn(hit: re.Match[str], before: str) -> bool:
    area, separator, group, serial = hit.groups()
    if area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000":
        return False  # never issued
    return separator == "-" or bool(_SOCIAL.search(before))


# --- finding -----------------------------------------------------------------------------------------------------

Check = Callable[[str], bool]


def may_hold_pii(texts: Sequence[str]) -> np.ndarray:
    """For each text whether `find_pii` is worth asking: without a digit and an @ it finds nothing."""
    data = np.frombuffer("\n".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    ends = np.cumsum(np.fromiter((len(text) + 1 for text in texts), np.int64, len(texts)))
    at = np.flatnonzero((data - np.uint32(48) < 10) | (data == 64))
    found = np.zeros(len(texts), bool)
    found[np.searchsorted(ends, at, side="right")] = True
    return found


def find_pii(text: str) -> list[Match]:
    """Personal data in reading order, never overlapping; what stands earlier in the list of kinds wins."""
    has_at = "@" in text
    if not has_at and not _DIGIT.search(text):
        return []
    found: list[Match] = []

    def take(kind: str, start: int, end: int) -> None:
        if not any(m.start < end and start < m.end for m in found):
            found.append(Match(kind, start, end))

    def add(kind: str, pattern: re.Pattern[str], check: Check | None = None) -> None:
        for hit in pattern.finditer(text):
            if check is None or check(hit.group()):
                take(kind, *hit.span())

    if has_at and "://" in text:
        for hit in _URL.finditer(text):
            take("url", hit.start(), hit.start() + len(hit.group().rstrip(".,;:!?")))
    _add_secrets(text, add, take)
    if has_at:
        for hit in _EMAIL.finditer(text):
            if not hit.group().endswith(".invalid"):  # reserved by RFC 2606: nobody's
                take("email", *hit.span())
    if _NUMBER.search(text):
        _add_numbers(text, add, take)
    if text.count(":") >= 2:
        add("ip", _IP6, _is_ip6)
    return sorted(found, key=lambda m: m.start) if len(found) > 1 else found


def _add_secrets(text: str, add: Callable[..., None], take: Callable[..., None]) -> None:
    if any(sign in text for sign in _KEY_SIGNS):
        add("key", _KEY, lambda key: not _PLACEHOLDER.search(key) and bool(_DIGIT.search(key)))
    low = text.lower()
    if not any(sign in low for sign in _SECRET_SIGNS):
        return
    for hit in _SECRET.finditer(text):
        value = hit.group(1).rstrip(".,;:!?")
        # A secret mixes letters and digits; a word after "password is" is only a word.
        if (
            len(value) >= 8
            and any(c.isalpha() for c in value)
            and any(c.isdigit() for c in value)
            and not _PLACEHOLDER.search(value)
        ):
            take("key", hit.start(1), hit.start(1) + len(value))


def _add_numbers(text: str, add: Callable[..., None], take: Callable[..., None]) -> None:
    add("iban", _IBAN, iban_is_valid)
    for hit in _CARD.finditer(text):
        if _is_card(hit.group()) and not _GOODS.search(text[max(0, hit.start() - 14) : hit.start()]):
            take("card", *hit.span())
    add("id", _DNI, _is_dni)
    add("id", _FISCALE, _is_fiscale)
    add("id", _CPF, _is_cpf)
    add("id", _NIR, _is_nir)
    for hit in _PESEL.finditer(text):
        # Eleven digits are many things: only where the word stands before them.
        if _PESEL_SAID.search(text[max(0, hit.start() - 18) : hit.start()]) and _is_pesel(hit.group()):
            take("id", *hit.span())
    for hit in _SSN.finditer(text):
        if _is_ssn(hit, text[max(0, hit.start() - 34) : hit.start()]):
            take("ssn", *hit.span())
    for hit in _IP4.finditer(text):
        if _is_ip4(hit.group()) and not _NUMBERED.search(text[max(0, hit.start() - 46) : hit.start()]):
            take("ip", *hit.span())
    for hit in _PHONE.finditer(text):
        if 9 <= len(_NOT_DIGIT.sub("", hit.group())) <= 15 and not hit.group().startswith("+999"):
            take("phone", *hit.span())
    for hit in _BARE_PHONE.finditer(text):
        if _CALLS.search(text[max(0, hit.start() - 24) : hit.start()]):
            take("phone", *hit.span())


# --- mending -----------------------------------------------------------------------------------------------------


def _rewritten(text: str, word: Callable[[str, str], str]) -> str:
    out, position = [], 0
    for match in find_pii(text):
        out += [text[position : match.start], word(match.kind, text[match.start : match.end])]
        position = match.end
    return "".join([*out, text[position:]]) if position else text


def mask_pii(text: str) -> str:
    """The text with every find replaced by its kind, as in [EMAIL]; masking twice changes nothing."""
    return _rewritten(text, lambda kind, _: f"[{kind.upper()}]")


def replace_pii(text: str, *, key: bytes) -> str:
    """The text with every find replaced by a made-up one of its kind, the same for the same value and key.

    Made-up ones cannot be real (reserved names, country code 999, area 000, failing checksums), so replacing twice
    changes nothing. `key` must be secret: with it, who knows a value can tell what stands for it.
    """
    return _rewritten(text, lambda kind, value: pseudonym(kind, value, key=key))


_SPACING = re.compile(r"[ ().-]")


def pseudonym(kind: str, value: str, *, key: bytes) -> str:
    """What stands for a value. Spelling (case, spaces, dashes) makes no difference."""
    plain = value.lower() if kind in ("email", "url") else _SPACING.sub("", value) if kind != "key" else value
    mark = hmac.new(key, f"{kind}\0{plain}".encode(), "sha256").digest()
    digits = f"{int.from_bytes(mark[:8], 'big') % 10**12:012d}"
    name = mark[:4].hex()
    return {
        "email": f"person-{name}@replaced.invalid",
        "phone": f"+999 {digits[:3]} {digits[3:9]}",
        "iban": f"XX00REPL{digits}",
        "card": f"0000 {digits[:4]} {digits[4:8]} {digits[8:]}",
        "ssn": f"000-{digits[:2]}-{digits[2:6]}",
        "id": f"replaced-id-{name}",
        "ip": f"0.{mark[0]}.{mark[1]}.{mark[2]}",
        "key": f"replaced-key-{name}",
        "url": f"https://replaced.invalid/{name}",
    }[kind]
