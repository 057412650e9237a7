"""A datasheet: what a version is for, what is in it, where it came from, what was done to it. As Markdown too.

Source of the questions: Gebru et al. 2021, "Datasheets for datasets", cut to what the portal knows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&-])")


@dataclass(frozen=True, slots=True)
class Section:
    """One question of the datasheet: sentences, then a table (first row: the heads) where there is one."""

    title: str
    sentences: tuple[str, ...] = ()
    table: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Datasheet:
    """Title, the facts on top, and the sections in reading order."""

    title: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...] = field(default=())


def escaped(text: str) -> str:
    """Text of strangers as plain Markdown text on one line: nothing in it becomes markup or leaves its cell."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def markdown(sheet: Datasheet) -> str:
    """The datasheet as Markdown, the same bytes for the same sheet."""
    lines = [f"# {escaped(sheet.title)}", ""]
    lines += [f"- **{escaped(name)}:** {escaped(value)}" for name, value in sheet.facts]
    for section in sheet.sections:
        lines += ["", f"## {escaped(section.title)}", ""]
        lines += [f"{escaped(sentence)}\n" for sentence in section.sentences]
        if section.table:
            head, *rows = section.table
            lines += [_line(head), "|" + " --- |" * len(head), *map(_line, rows)]
    return "\n".join(lines).rstrip() + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(escaped(cell) for cell in cells) + " |"
