"""Answers that are sent piece by piece and never stand in memory whole, served by ASGI as by WSGI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from asgiref.sync import sync_to_async
from django.http import FileResponse, StreamingHttpResponse


class Piecewise:
    """For a streaming response over an ordinary iterator: under ASGI Django would make a list of it first.

    Each piece is fetched in the request's own thread, where its database connection is.
    """

    streaming_content: Any

    def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = iter(self.streaming_content)

        def fetch() -> bytes | None:
            return next(pieces, None)

        async def one_by_one() -> AsyncIterator[bytes]:
            while (piece := await sync_to_async(fetch, thread_sensitive=True)()) is not None:
                yield piece

        return one_by_one()


class Download(Piecewise, StreamingHttpResponse):
    """Pieces of bytes as an attachment that no browser runs or renders, whatever they are."""

    def __init__(
        self, pieces: Iterable[bytes], *, name: str = "", content_type: str = "application/octet-stream"
    ) -> None:
        super().__init__(pieces, content_type=content_type)
        self["Content-Disposition"] = f'attachment; filename="{name}"' if name else "attachment"
        self["X-Content-Type-Options"] = "nosniff"


class FileDownload(Piecewise, FileResponse):
    """An open file, sent in the same way."""
