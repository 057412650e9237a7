"""Which ways to a model a team has. Having one is not a call: nothing here touches the network."""

from __future__ import annotations

from django.conf import settings
from django.db import IntegrityError, transaction

from foundation.llm.errors import NoConnection
from foundation.llm.models import Connection
from foundation.llm.vault import unseal
from foundation.teams.models import Team

ENVIRONMENT_NAME = "From the environment"
LOCAL_NAME = "This portal"


def environment_key_found() -> bool:
    """Whether ANTHROPIC_API_KEY is set (S78)."""
    return bool(settings.ANTHROPIC_API_KEY)


def _ensured(team: Team, found: Connection | None, **fields: object) -> Connection:
    if found is not None:
        return found
    try:
        with transaction.atomic():
            return Connection.objects.create(team=team, **fields)
    except IntegrityError:  # somebody else made it in the same moment, or the name is taken
        same = {k: v for k, v in fields.items() if k in ("from_environment", "provider")}
        if existing := Connection.objects.filter(team=team, **same).first():
            return existing
        return Connection.objects.create(team=team, **{**fields, "name": f"{fields['name']} (built in)"})


def environment_connection(team: Team) -> Connection | None:
    """The connection ANTHROPIC_API_KEY gives to every team, or None when it is not set."""
    if not environment_key_found():
        return None
    found = Connection.objects.filter(team=team, from_environment=True).first()
    return _ensured(
        team, found, name=ENVIRONMENT_NAME, provider=Connection.Provider.ANTHROPIC, from_environment=True
    )


def local_connection(team: Team) -> Connection:
    """The way to the models this team trained here."""
    found = Connection.objects.filter(team=team, provider=Connection.Provider.LOCAL).first()
    return _ensured(team, found, name=LOCAL_NAME, provider=Connection.Provider.LOCAL, max_concurrency=1)


def connections_for(team: Team) -> list[Connection]:
    """Enabled connections with a key to models outside this portal, the default first."""
    environment_connection(team)
    return [c for c in Connection.objects.of(team).usable().select_related("team") if c.has_key]


def default_connection(team: Team) -> Connection | None:
    """The connection used when nobody chose: the one marked default, else the environment's, else the
    first."""
    usable = connections_for(team)
    return min(usable, key=lambda c: (not c.is_default, not c.from_environment, c.pk), default=None)


def has_connection(team: Team) -> bool:
    """Whether a model outside this portal can be asked at all."""
    return default_connection(team) is not None


def key_of(connection: Connection) -> str:
    """The provider key in plain text, for the adapter alone. Raises NoConnection."""
    if connection.from_environment:
        if not settings.ANTHROPIC_API_KEY:
            raise NoConnection(
                "ANTHROPIC_API_KEY is not set. Set it where the portal runs, or use another connection."
            )
        return settings.ANTHROPIC_API_KEY
    if not connection.key_ciphertext:
        raise NoConnection(f"The connection “{connection.name}” has no key. Enter one on its page.")
    return unseal(connection.key_ciphertext, host=connection.host)
