"""Refuses an upload that is too large while it arrives, instead of after it has filled the disk."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler

from foundation.files.errors import TooLarge

# What a form may weigh besides its file.
FORM_BYTES = 1024 * 1024


def too_large(limit_bytes: int) -> TooLarge:
    """The error that says how much a file may weigh and what to do."""
    return TooLarge(
        f"The file is over {limit_bytes // (1024 * 1024):,} MB, the most this portal takes. "
        "Split it, or ask the operator to raise UPLOAD_MAX_MB."
    )


class CapHandler(FileUploadHandler):
    """First of FILE_UPLOAD_HANDLERS: passes the bytes on and counts them."""

    def handle_raw_input(
        self, input_data: Any, META: Any, content_length: int, boundary: str, encoding: str | None = None
    ) -> None:
        """Refuse at once what says itself that it is too large."""
        self.seen_bytes = 0
        if content_length > settings.UPLOAD_MAX_BYTES + FORM_BYTES:
            raise too_large(settings.UPLOAD_MAX_BYTES)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Count over all files of the request."""
        self.seen_bytes += len(raw_data)
        if self.seen_bytes > settings.UPLOAD_MAX_BYTES:
            raise too_large(settings.UPLOAD_MAX_BYTES)
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """The next handler keeps the file."""
        return None
