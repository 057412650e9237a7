"""Handing a file back to people of its team."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from foundation.files import handing, store
from foundation.files.models import Blob


@require_safe
def blob_download(request: HttpRequest, blob: Blob) -> HttpResponse:
    """The file as an attachment, under the name it came with, unless a floor above keeps it closed."""
    handing.check_open(request.user, blob)
    return cast(HttpResponse, store.download_response(blob))  # streams; the routes ask no more of it
