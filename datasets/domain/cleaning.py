"""Normalising text, then taking its digest; and which lengths make sense for a task.

The order matters: a digest over raw text would keep a row and its copy with a trailing space apart (D13).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass

from decisions.domain.facts import TaskKind

# Invisible characters that travel at the edges of exported cells: BOM, zero-width space and joiners, soft hyphen.
_EDGES = "\ufeff\u200b\u200c\u200d\u2060\u00ad"
_NOT_WORD = re.compile(r"[^\w\s]+")
_ASCII_MARKS = {code: " " for code in range(128) if not (chr(code).isalnum() or chr(code) == "_")}


def normalise(text: str) -> str:
    """The text as it is stored: composed Unicode (NFC), line ends as \\n, no blank or invisible edges.

    Idempotent: normalising twice changes nothing.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
        before = None
        while before != text:  # an invisible edge may hide a space, which may hide another edge
            before = text
            text = text.strip().strip(_EDGES)
        return text
    return text.strip()


def digest(system: str, turns: str, prompt: str, completion: str, extra: str = "") -> bytes:
    """sha256 of one normalised row, 32 bytes. NUL separates the parts, because no stored text may hold one.

    `extra` counts only where there is some, so that rows of plain text keep the digest they always had.
    """
    tail = f"\0{extra}" if extra else ""
    return hashlib.sha256(f"{system}\0{turns}\0{prompt}\0{completion}{tail}".encode()).digest()


def loose(text: str) -> str:
    """The text without case, punctuation and spacing: what 'the same but for formatting' means."""
    if text.isascii():  # the same without a regular expression: most text, four times faster
        return " ".join(text.lower().translate(_ASCII_MARKS).split())
    return " ".join(_NOT_WORD.sub(" ", text.casefold()).split())


@dataclass(frozen=True, slots=True)
class Lengths:
    """Shortest and longest sensible text in characters; 0 means no limit."""

    prompt_min: int
    prompt_max: int
    completion_min: int
    completion_max: int


_LIMITS = {
    # The answer is a label: "work" is a fine one (D12), a paragraph is not.
    TaskKind.CLASSIFY: Lengths(3, 20_000, 0, 200),
    # Extracted values may be short ("{}" says: nothing there).
    TaskKind.EXTRACT: Lengths(10, 60_000, 2, 30_000),
    TaskKind.ANSWER: Lengths(8, 60_000, 3, 30_000),
    TaskKind.WRITE: Lengths(10, 60_000, 10, 60_000),
}


def limits_for(task_kind: str) -> Lengths:
    """Length limits in characters (not bytes) for a task; an unknown task gets those of answering."""
    try:
        return _LIMITS[TaskKind(task_kind)]
    except ValueError:
        return _LIMITS[TaskKind.ANSWER]


def length_problem(prompt: str, completion: str, limits: Lengths) -> str:
    """What is wrong with the lengths, starting with 'too short' or 'too long'; empty when nothing is."""
    return length_words(len(prompt), len(completion), limits)


def length_words(n_prompt: int, n_completion: int, limits: Lengths) -> str:
    """The same from the two lengths in characters."""
    if n_prompt < limits.prompt_min:
        return f"too short: the prompt has {n_prompt} characters, at least {limits.prompt_min} are expected"
    if n_completion < limits.completion_min:
        return f"too short: the answer has {n_completion} characters, at least {limits.completion_min} are expected"
    if limits.prompt_max and n_prompt > limits.prompt_max:
        return f"too long: the prompt has {n_prompt} characters, at most {limits.prompt_max} are expected"
    if limits.completion_max and n_completion > limits.completion_max:
        return f"too long: the answer has {n_completion} characters, at most {limits.completion_max} are expected"
    return ""
