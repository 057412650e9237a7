"""The repair room of this floor: catalogue editable, money and answers read-only, keys nowhere."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest

from foundation.llm import catalogue
from foundation.llm.models import (
    Budget,
    CachedAnswer,
    Connection,
    ConnectionSlot,
    ModelEntry,
    ModelPrice,
    RemoteBatch,
    Reservation,
)


class ReadOnly(admin.ModelAdmin):
    """Evidence: looked at, never changed."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class PriceInline(admin.TabularInline):
    model = ModelPrice
    extra = 0
    exclude = ["source"]


@admin.register(ModelEntry)
class ModelEntryAdmin(admin.ModelAdmin):
    list_display = ["model_id", "provider", "lifecycle", "retires_at", "context_tokens", "source"]
    list_filter = ["provider", "lifecycle", "line"]
    search_fields = ["model_id", "display_name"]
    readonly_fields = ["source"]
    inlines = [PriceInline]

    def save_model(self, request: HttpRequest, obj: ModelEntry, form: ModelForm, change: bool) -> None:
        """What a person wrote is kept when a newer data file comes."""
        obj.source = catalogue.EDITED
        super().save_model(request, obj, form, change)

    def save_formset(self, request: HttpRequest, form: ModelForm, formset: Any, change: bool) -> None:
        """The same for prices."""
        for row in formset.save(commit=False):
            row.source = catalogue.EDITED
            row.save()
        for row in formset.deleted_objects:
            row.delete()


@admin.register(ModelPrice)
class ModelPriceAdmin(admin.ModelAdmin):
    list_display = [
        "entry",
        "effective_from",
        "above_prompt_tokens",
        "input",
        "output",
        "cache_read",
        "source",
    ]
    list_select_related = ["entry"]
    list_filter = ["entry__provider"]
    search_fields = ["entry__model_id"]
    readonly_fields = ["source"]

    def save_model(self, request: HttpRequest, obj: ModelPrice, form: ModelForm, change: bool) -> None:
        """What a person wrote is kept when a newer data file comes."""
        obj.source = catalogue.EDITED
        super().save_model(request, obj, form, change)


@admin.register(Connection)
class ConnectionAdmin(ReadOnly):
    """Changed on its own page, where a new address erases the key and the change is on the record."""

    list_display = ["name", "team", "provider", "base_url", "shown_key", "enabled", "tried_ok", "tried_at"]
    list_select_related = ["team"]
    list_filter = ["provider", "enabled"]
    exclude = ["key_ciphertext"]


@admin.register(ConnectionSlot)
class ConnectionSlotAdmin(ReadOnly):
    list_display = ["connection", "number", "lease_until"]
    list_select_related = ["connection"]
    exclude = ["token"]


@admin.register(CachedAnswer)
class CachedAnswerAdmin(ReadOnly):
    list_display = ["digest", "team", "model_id", "sample", "stop_reason", "cost_microusd", "created_at"]
    list_select_related = ["team"]
    list_filter = ["model_id", "stop_reason"]
    search_fields = ["digest"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A kept answer may go: the question is then paid for anew."""
        return bool(request.user.is_superuser)


@admin.register(Budget)
class BudgetAdmin(ReadOnly):
    list_display = [
        "scope",
        "team",
        "cap_microusd",
        "spent_microusd",
        "reserved_microusd",
        "unconfirmed_microusd",
    ]
    list_select_related = ["team"]
    search_fields = ["scope"]


@admin.register(Reservation)
class ReservationAdmin(ReadOnly):
    list_display = ["id", "budget", "state", "bound_microusd", "actual_microusd", "unconfirmed", "created_at"]
    list_select_related = ["budget"]
    list_filter = ["state", "unconfirmed"]


@admin.register(RemoteBatch)
class RemoteBatchAdmin(ReadOnly):
    list_display = ["key", "team", "model_id", "remote_id", "n_requests", "created_at", "ended_at"]
    list_select_related = ["team"]
    search_fields = ["key", "remote_id"]
