"""Handing a file back to people of its team."""

from __future__ import annotations

from django.http import FileResponse, HttpRequest
from django.views.decorators.http import require_safe

from foundation.files import store
from foundation.files.models import Blob


@require_safe
def blob_download(request: HttpRequest, blob: Blob) -> FileResponse:
    """The file as an attachment, under the name it came with."""
    return store.download_response(blob)
