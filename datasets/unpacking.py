"""Opening stored files as streams of text bytes, whatever they are packed in: plain, gzip, Parquet. Bounded throughout.

A packed file says nothing true about its size, so what comes out is counted against what went in.
"""

from __future__ import annotations

import errno
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from django.conf import settings

from datasets.errors import UnusableFile

BLOCK_BYTES = 256 * 1024
# Text packs 3 to 20 times; a table of one repeated word may reach a few hundred. Small files may be as odd as they like.
MAX_RATIO = 250
FREE_BYTES = 64 * 1024 * 1024
MAX_UNPACKED_BYTES = 16 * 1024 * 1024 * 1024
# Parquet is packed already, and is written to the disk whole before a row of it is read.
MAX_PARQUET_RATIO = 4
# A part without a byte inside costs time and gives nothing; a packer writes one at the end at most.
MAX_EMPTY_MEMBERS = 1_000
# A member costs about 5 microseconds however little is in it. Appending rows one by one makes such files.
SMALL_MEMBER_BYTES, MAX_SMALL_MEMBERS = 1_000, 1_000_000
# Enough for a member of one row; longer ones are given ever larger windows.
FIRST_WINDOW_BYTES = 512
_ZEROS = re.compile(rb"\0+")
GZIP_MAGIC, PARQUET_MAGIC = b"\x1f\x8b", b"PAR1"


def allowed_bytes(packed: int) -> int:
    """How much may come out of a packed file of this many bytes."""
    return min(MAX_UNPACKED_BYTES, max(FREE_BYTES, packed * MAX_RATIO))


def _too_much(packed: int) -> str:
    """The sentence about a file that unpacks to more than it may."""
    return (
        f"The file holds {packed:,} bytes and unpacks to more than {allowed_bytes(packed) // 1024 // 1024:,} MB, "
        "which no table of text does. Unpack it yourself, look at it, and import it unpacked."
    )


class Unzipped(io.RawIOBase):
    """The bytes inside a gzip file, read forward. Raises UnusableFile where it is cut, broken or a bomb.

    A file may have millions of members of one byte: each costs a small window of the packed bytes, never the whole block.
    """

    def __init__(self, packed: BinaryIO, size: int, *, allowed: int = 0, too_much: str = "") -> None:
        """`allowed` bytes may come out, and `too_much` says so; else what a table of text may."""
        self._packed, self._size, self._out = packed, size, 0
        self._allowed = allowed or allowed_bytes(size)
        self._too_much = too_much or _too_much(size)
        self._unzip = zlib.decompressobj(wbits=31)
        self._block, self._at, self._window = b"", 0, FIRST_WINDOW_BYTES
        self._is_over = False
        self._member_began, self._n_empty, self._n_small = 0, 0, 0
        self._trouble: UnusableFile | None = None

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`, at most a block of it; 0 at the end. What came before a fault is given first."""
        into = memoryview(buffer).cast("B")[:BLOCK_BYTES]
        filled = 0
        if self._trouble is not None:
            raise self._trouble
        try:
            while filled < len(into) and (packed := self._next_bytes()):
                piece = self._unpack(packed, len(into) - filled)
                into[filled : filled + len(piece)] = piece
                filled += len(piece)
        except UnusableFile as error:
            if not filled:
                raise
            self._trouble = error
        return filled

    def _next_bytes(self) -> bytes:
        """The next packed bytes of a member; empty at the end of the file."""
        while not self._is_over:
            if self._at >= len(self._block):
                self._block, self._at = self._packed.read(BLOCK_BYTES), 0
                if not self._block:
                    self._is_over = True
                    if not self._unzip.eof:
                        raise self._fault("The gzip file is cut off after {} unpacked bytes. Fetch it again.")
                    break
            if not self._unzip.eof:
                return self._block[self._at : self._at + self._window]
            # Several members may follow each other; zeros at the end are padding.
            if self._block[self._at] == 0:
                zeros = _ZEROS.match(self._block, self._at)
                self._at = zeros.end() if zeros else self._at
                continue
            self._begin_member()
        return b""

    def _begin_member(self) -> None:
        if self._at + 1 == len(self._block):
            self._block, self._at = self._block[self._at :] + self._packed.read(BLOCK_BYTES), 0
        if not GZIP_MAGIC.startswith(self._block[self._at : self._at + len(GZIP_MAGIC)]):
            raise self._fault(
                "Something that is not gzip follows after {} unpacked bytes. Pack the file again."
            )
        inside = self._out - self._member_began
        self._n_empty += inside == 0
        self._n_small += inside < SMALL_MEMBER_BYTES
        if self._n_empty > MAX_EMPTY_MEMBERS:
            raise self._fault(
                f"The gzip file holds more than {MAX_EMPTY_MEMBERS:,} empty parts. Pack the file again."
            )
        if self._n_small > MAX_SMALL_MEMBERS:
            raise self._fault(
                f"The gzip file holds more than {MAX_SMALL_MEMBERS:,} parts of under {SMALL_MEMBER_BYTES:,} bytes. "
                "Pack the file again."
            )
        self._member_began = self._out
        self._unzip, self._window = zlib.decompressobj(wbits=31), FIRST_WINDOW_BYTES

    def _unpack(self, packed: bytes, most: int) -> bytes:
        try:
            piece = self._unzip.decompress(packed, most)
        except zlib.error:
            raise self._fault("The gzip file is broken after {} unpacked bytes. Fetch it again.") from None
        left = self._unzip.unused_data if self._unzip.eof else self._unzip.unconsumed_tail
        self._at += len(packed) - len(left)
        self._window = min(BLOCK_BYTES, 4 * self._window)
        self._out += len(piece)
        if self._out > self._allowed:
            raise UnusableFile(self._too_much, field="file")
        return piece

    def _fault(self, words: str) -> UnusableFile:
        return UnusableFile(words.format(f"{self._out:,}"), field="file")


def _child(path: Path, *words: str, fds: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
    # No Django, no settings, no secrets of ours: only Python, pyarrow and the path.
    return subprocess.Popen(
        [sys.executable, "-m", "datasets.parquet_child", str(path), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[1],
        pass_fds=fds,
        env={"PATH": "/usr/bin:/bin", "ARROW_DEFAULT_MEMORY_POOL": "system", "LC_ALL": "C.UTF-8"},
    )


def _why(child: subprocess.Popen[bytes], code: int) -> str:
    said = child.stderr.read(4000).decode(errors="replace").strip() if child.stderr else ""
    if code == 3 and said:
        return said.splitlines()[-1][:500]
    return "The Parquet file could not be read within the memory and time allowed. Save it as JSONL and import that."


@contextmanager
def parquet_lines(
    path: Path, *, rows: int = 0, n_bytes: int = 0
) -> Iterator[tuple[dict[str, Any], BinaryIO]]:
    """({"columns", "rows"}, JSON lines of its rows) of a Parquet file, read by a child with limits.

    `rows` and `n_bytes` stop early. Raises: UnusableFile with the child's sentence, when it ends badly.
    """
    with _running(_child(path, str(rows), str(n_bytes), str(allowed_bytes(path.stat().st_size)))) as found:
        yield found


@contextmanager
def zipped_parquet_lines(
    packed: BinaryIO, size: int, folder: Path, *, rows: int = 0, n_bytes: int = 0
) -> Iterator[tuple[dict[str, Any], BinaryIO]]:
    """The same of a Parquet file inside a gzip file of `size` bytes: unpacked into a file without a name in `folder`.

    Parquet is read from its end. A file without a name is gone with whoever held it, however they ended.
    Raises: UnusableFile where it unpacks to more than Parquet does, or the disk has no room for it.
    """
    with _unpacked_parquet(packed, size, folder) as out:
        fd = out.fileno()
        # What may come out is counted against the file that came in, not against what came out of that.
        child = _child(Path(f"/dev/fd/{fd}"), str(rows), str(n_bytes), str(allowed_bytes(size)), fds=(fd,))
        with _running(child) as found:
            yield found


def _unpacked_parquet(packed: BinaryIO, size: int, folder: Path) -> BinaryIO:
    allowed = min(settings.UPLOAD_MAX_BYTES, max(FREE_BYTES, size * MAX_PARQUET_RATIO))
    words = (
        f"The Parquet file inside unpacks from {size:,} bytes to more than {allowed // 1024 // 1024:,} MB. Parquet packs "
        "by itself: save it with its own compression (zstd or snappy) and import that without gzip."
    )
    out: BinaryIO | None = None
    try:
        out = cast(BinaryIO, tempfile.TemporaryFile(dir=folder))  # noqa: SIM115 - whoever asked closes it
        unzipped = Unzipped(packed, size, allowed=allowed, too_much=words)
        shutil.copyfileobj(io.BufferedReader(unzipped, BLOCK_BYTES), out, BLOCK_BYTES)
        out.flush()
    except BaseException as error:
        with suppress(OSError):  # what could not be written is tried again on closing
            if out is not None:
                out.close()
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UnusableFile(
                "The disk of the portal has no room to unpack this file. Import it without gzip, or ask whoever runs "
                "the portal to make room.",
                field="file",
            ) from None
        raise
    return out


@contextmanager
def _running(child: subprocess.Popen[bytes]) -> Iterator[tuple[dict[str, Any], BinaryIO]]:
    assert child.stdout is not None
    stream = cast(BinaryIO, child.stdout)
    try:
        first = stream.readline()
        if not first:
            raise UnusableFile(_why(child, child.wait(30)), field="file")
        yield json.loads(first), stream
        if not stream.read(1) and (code := child.wait(30)):
            raise UnusableFile(_why(child, code), field="file")
    finally:
        child.kill()
        child.wait()
        stream.close()
        if child.stderr:
            child.stderr.close()
