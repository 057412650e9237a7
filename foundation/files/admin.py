"""Files in the repair room: looked at, never changed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from foundation.files.models import Blob


@admin.register(Blob)
class BlobAdmin(admin.ModelAdmin):
    list_display = ["name", "team", "kind", "size", "sha256", "created_at"]
    list_select_related = ["team"]
    list_filter = ["kind"]
    search_fields = ["name", "sha256"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Files come in through pages, where their bytes are hashed."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A digest is a fact."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Other rows rest on it."""
        return False
