"""Text without its case, in the database: SQLite's own LOWER knows the letters of ASCII alone."""

from __future__ import annotations

from typing import Any

from django.db.backends.signals import connection_created
from django.db.models import CharField
from django.db.models.functions import Lower

SQLITE_NAME = "PORTAL_CASEFOLD"


class FoldedCase(Lower):
    """The text as `str.casefold` says it on SQLite, and as LOWER says it on PostgreSQL, which knows every letter."""

    output_field = CharField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """The function that `teach` gave this connection."""
        return self.as_sql(compiler, connection, function=SQLITE_NAME, **context)


def teach(sender: Any, connection: Any, **_: Any) -> None:
    """Give a new connection to SQLite the function."""
    if connection.vendor == "sqlite":
        connection.connection.create_function(
            SQLITE_NAME, 1, lambda text: None if text is None else str(text).casefold(), deterministic=True
        )


def watch_connections() -> None:
    """Teach every connection from here on."""
    connection_created.connect(teach, dispatch_uid="deployments.folding")
