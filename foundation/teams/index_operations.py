"""Indexes for migrations of large tables: built on PostgreSQL while people go on writing.

Inside a transaction (a restore migrates in one, and nobody writes meanwhile) they are plain ones.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations


class AddIndexConcurrently(migrations.AddIndex):
    """An index by CREATE INDEX CONCURRENTLY on PostgreSQL, a plain one elsewhere. Its migration says atomic = False."""

    atomic = False

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Build it."""
        if not _may_be_concurrent(schema_editor.connection):
            return super().database_forwards(app_label, schema_editor, from_state, to_state)
        model = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            schema_editor.add_index(model, self.index, concurrently=True)
        return None

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Drop it."""
        if not _may_be_concurrent(schema_editor.connection):
            return super().database_backwards(app_label, schema_editor, from_state, to_state)
        model = from_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            found = from_state.models[app_label, self.model_name_lower].get_index_by_name(self.index.name)
            schema_editor.remove_index(model, found, concurrently=True)
        return None


def _may_be_concurrent(connection: Any) -> bool:
    return connection.vendor == "postgresql" and not connection.in_atomic_block
