"""One JSON list of rows, cut into its elements while it streams by. Memory is bounded by the longest element allowed.

Only the outermost list is understood here, by its brackets and quotes; each element is read and judged on its own, so
that one broken row costs no other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import orjson

from datasets.domain.limits import MAX_LINE_BYTES

SPACE = b" \t\n\r"
EXCERPT_BYTES = 480
_QUOTE, _CLOSES = b'"]'
# Atomic groups throughout: nothing is tried twice, so no text takes more than a look at each byte. Not possessive repeats of
# groups, which match too little before Python 3.11.5 (gh-106052).
_STRING = rb'"(?>[^"\\]*+(?:\\.[^"\\]*+)*)"'
# Text without brackets, with one pair of them in another at most, with two.
_PLAIN = rb'[^"\[\]{}]*+'
_FLAT = rb"(?>" + _PLAIN + rb"(?:" + _STRING + _PLAIN + rb")*)"
_IN_BRACKETS = rb"\{" + _FLAT + rb"\}|\[" + _FLAT + rb"\]"
_ONE_DEEP = rb"(?>" + _PLAIN + rb"(?:(?:" + _STRING + rb"|" + _IN_BRACKETS + rb")" + _PLAIN + rb")*)"
_IN_BRACKETS = rb"\{" + _ONE_DEEP + rb"\}|\[" + _ONE_DEEP + rb"\]"
_TWO_DEEP = rb"(?>" + _PLAIN + rb"(?:(?:" + _STRING + rb"|" + _IN_BRACKETS + rb")" + _PLAIN + rb")*)"
# The next brackets after all that is closed in itself, or the quote of a string that does not end in this block.
_INSIDE = re.compile(_TWO_DEEP + rb'("|[\[{]++|[\]}]++)', re.DOTALL)
_BETWEEN = re.compile(
    rb'(?>[^"\[\]{},]*+(?:' + _STRING + rb'[^"\[\]{},]*+)*)("|[\[{]++|\]|\}++|,)', re.DOTALL
)
# A row of the usual shapes with its comma: fields, lists of messages, parts of a message.
_ROW = re.compile(rb"[ \t\r\n]*+(\{" + _TWO_DEEP + rb"\})[ \t\r\n]*+,", re.DOTALL)
_REST_OF_STRING = re.compile(rb'(?>[^"\\]*+(?:\\.[^"\\]*+)*)', re.DOTALL)
_BLANK = re.compile(rb"[ \t\r\n]*+")
_KEY = re.compile(rb"[ \t\r\n]*+(" + _STRING + rb")[ \t\r\n]*+:[ \t\r\n]*+", re.DOTALL)


class Start(NamedTuple):
    """Where a list of rows begins: the place after its bracket, and the key it stands under (empty: none)."""

    at: int
    key: str


class Element(NamedTuple):
    """One element: its number from 1, the line it begins on, and its bytes; or none and what is wrong with the list there.

    `n_bytes` is set for one that is too long to be kept.
    """

    number: int
    line: int
    raw: bytes
    problem: tuple[str, str] = ("", "")
    n_bytes: int = 0


_NO_ELEMENT = (
    "nothing stands between two commas, or after the last one",
    "Take the comma away, or write the row that is missing.",
)
_NO_LIST = (
    "no list of rows is found where the file had one",
    "Choose the encoding the file is written in, or import the file anew.",
)
_NOT_CLOSED = (
    "the file ends before the list is closed: a ] is missing",
    "The file was probably cut. Fetch or export it again.",
)
_CUT = (
    "the file ends in the middle of this row",
    "The file was probably cut. Fetch or export it again.",
)
_MORE = (
    "more text follows after the end of the list",
    "Keep one list in a file, or write one row a line (JSONL).",
)
_MORE_LISTS = (
    "another list follows after this one, and only one can be the rows",
    "Write each list into a file of its own.",
)
_NO_END = (
    "the object around the list is not closed, or what follows in it is not JSON",
    "The file was probably cut. Fetch or export it again.",
)


def list_start(head: bytes) -> Start | None:
    """Where the first list of objects begins in the first bytes of a text: that text itself, or under a key of its object."""
    at = _after_blank(head, 0)
    if head[at : at + 1] == b"[":
        return Start(at + 1, "") if _holds_objects(head, at + 1) else None
    if head[at : at + 1] != b"{":
        return None
    at += 1
    while key := _KEY.match(head, at):
        at = key.end()
        if (
            head[at : at + 1] == b"["
            and head[_after_blank(head, at + 1) : _after_blank(head, at + 1) + 1] == b"{"
        ):
            try:
                return Start(at + 1, orjson.loads(key[1]))
            except orjson.JSONDecodeError:
                return None
        end = _end_of_value(head, at)
        if head[end : end + 1] != b",":
            return None
        at = end + 1
    return None


def _after_blank(text: bytes, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _holds_objects(head: bytes, at: int) -> bool:
    return head[_after_blank(head, at) : _after_blank(head, at) + 1] in (b"{", b"]")


def _end_of_value(text: bytes, at: int) -> int:
    """The place of the comma or bracket after the value that begins at `at`, or the end of the text."""
    depth = 0
    while found := (_INSIDE if depth else _BETWEEN).match(text, at):
        start, at = found.span(1)
        mark = text[start]
        if mark == _QUOTE:
            break
        if mark in b"[{":
            depth += at - start
        elif depth:
            at = start + min(depth, at - start)
            depth -= at - start
        else:
            return start
    return len(text)


def elements(blocks: Iterable[bytes], key: str = "", *, is_cut: bool = False) -> Iterator[Element]:
    """The elements of the list, in order, then what is wrong with its end: `elements_by_block`, end to end."""
    return chain.from_iterable(elements_by_block(blocks, key, is_cut=is_cut))


def elements_by_block(
    blocks: Iterable[bytes], key: str = "", *, is_cut: bool = False
) -> Iterator[list[Element]]:
    """The elements that end in each block, maybe none. `key`: the object's key that the list stands under.

    Blocks may end anywhere. `is_cut`: the last of them is not the end of the file, so the end says nothing.
    """
    cutter = _Cutter(key)
    for block in blocks:
        yield cutter.take(block)
        if cutter.is_over:
            break
    if cutter.is_over or not is_cut:
        yield cutter.end()


class _Cutter:
    """The state between two blocks: how deep, whether in a string, and what was kept of the element under way."""

    def __init__(self, key: str) -> None:
        self.key = key
        # Nothing that follows can change what is to be said.
        self.is_over = False
        self._head, self._has_begun, self._has_ended = b"", False, False
        self._tail: list[bytes] = []
        self._n_tail = 0
        self._number, self._line = 0, 1
        self._begin()

    def _begin(self) -> None:
        self._depth, self._in_string, self._escaped = 0, False, False
        self._kept: list[bytes] = []
        self._n_kept, self._began_on = 0, 0

    def take(self, block: bytes) -> list[Element]:
        """The elements that end in the next block."""
        if self._has_begun:
            return self._cut(block, 0)
        block = self._head + block
        start = list_start(block)
        if start is None or start.key != self.key:
            # A file is recognised by as much as this; another encoding, chosen by hand, shows no list at all.
            self._head, self.is_over = block, len(block) > MAX_LINE_BYTES
            return []
        self._has_begun, self._head = True, b""
        self._line += block.count(b"\n", 0, start.at)
        return self._cut(block, start.at)

    def _cut(self, block: bytes, at: int) -> list[Element]:
        out: list[Element] = []
        if self._has_ended:
            self._keep_tail(block[at:])
            return out
        begin = at
        while at < len(block):
            if self._in_string:
                at = self._rest_of_string(block, at)
                continue
            if self._depth:
                found = _INSIDE.match(block, at)
            else:
                if at == begin and not self._n_kept:
                    begin = at = self._take_rows(block, at, out)
                found = _BETWEEN.match(block, at)
            if found is None:
                break
            start, at = found.span(1)
            mark = block[start]
            if mark == _QUOTE:
                self._in_string = True
            elif mark in b"[{":
                self._depth += at - start
            elif self._depth:
                at = start + min(self._depth, at - start)
                self._depth -= at - start
            elif mark in b",]":
                self._take_element(block[begin:start], out, is_last=mark == _CLOSES)
                begin = at
                if mark == _CLOSES:
                    self._has_ended = True
                    self._keep_tail(block[at:])
                    return out
        self._keep(block[begin:])
        return out

    def _take_rows(self, block: bytes, at: int, out: list[Element]) -> int:
        """Rows of the usual shapes that stand whole in this block; the place after the last of them."""
        while row := _ROW.match(block, at):
            start = row.start(1)
            self._number += 1
            self._line += block.count(b"\n", at, start)
            out.append(Element(self._number, self._line, row[1]))
            at = row.end()
            self._line += block.count(b"\n", start, at)
        return at

    def _rest_of_string(self, block: bytes, at: int) -> int:
        """Where the string that began before ends in this block, or the end of the block."""
        if self._escaped:
            self._escaped = False
            at += 1
        found = _REST_OF_STRING.match(block, at)
        at = found.end() if found else at
        if at < len(block):
            self._in_string = block[at] != _QUOTE
            self._escaped = self._in_string  # a backslash is the last of the block
            at += 1
        return at

    def _keep(self, piece: bytes) -> None:
        """Remember the beginning of an element; of a giant one its length alone."""
        if not self._n_kept:
            blank = _after_blank(piece, 0)
            self._line += piece.count(b"\n", 0, blank)
            piece, self._began_on = piece[blank:], self._line
        self._line += piece.count(b"\n")
        self._n_kept += len(piece)
        if self._n_kept > MAX_LINE_BYTES:
            self._kept.clear()
        elif piece:
            self._kept.append(piece)

    def _take_element(self, piece: bytes, out: list[Element], *, is_last: bool) -> None:
        self._keep(piece)
        n_bytes, line, raw = self._n_kept, self._began_on, b"".join(self._kept).rstrip(SPACE)
        self._begin()
        if not n_bytes and is_last and not self._number:
            return  # an empty list
        self._number += 1
        if not n_bytes:
            out.append(Element(self._number, line, b"", _NO_ELEMENT))
        else:
            out.append(Element(self._number, line, raw, n_bytes=n_bytes if n_bytes > MAX_LINE_BYTES else 0))

    def _keep_tail(self, piece: bytes) -> None:
        if not self._n_tail:
            piece = piece[_after_blank(piece, 0) :]
        self._n_tail += len(piece)
        if self._n_tail > MAX_LINE_BYTES or (piece and not self.key):
            self.is_over = True
        self._tail.append(piece[:MAX_LINE_BYTES])

    def end(self) -> list[Element]:
        """What is wrong with the end of the list: an element that says so, after one that is whole but for the list's end."""
        out: list[Element] = []
        if self._n_kept and not self._depth and not self._in_string:
            self._take_element(b"", out, is_last=True)
        if problem := self._problem_of_end():
            raw = b"".join(self._kept) or self._head
            out.append(Element(self._number + 1, self._began_on or self._line, raw[:EXCERPT_BYTES], problem))
        return out

    def _problem_of_end(self) -> tuple[str, str] | None:
        if not self._has_begun:
            return _NO_LIST
        if not self._has_ended:
            return _CUT if self._n_kept else _NOT_CLOSED
        tail = b"".join(self._tail).strip(SPACE)
        if not self.key:
            return _MORE if tail else None
        try:
            rest = orjson.loads(b'{"":0' + tail)
        except orjson.JSONDecodeError:
            return _MORE_LISTS if self.is_over else _NO_END
        return _MORE_LISTS if lists_of_objects(rest) else None


def lists_of_objects(record: dict[str, Any]) -> list[str]:
    """The keys under which an object holds a list of objects."""
    return [k for k, v in record.items() if isinstance(v, list) and v and isinstance(v[0], dict)]
