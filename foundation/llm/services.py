"""What people do with connections: make, change, try, remove. Every change is on the record, no key ever
is."""

from __future__ import annotations

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from foundation.jobs.models import Job
from foundation.jobs.services import start_job
from foundation.llm.domain.addresses import BadAddress, checked_base_url
from foundation.llm.models import Connection, bound_host
from foundation.llm.vault import reseal, seal
from foundation.teams import audit
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.models import Team, User

DEFAULT_BASE_URL = "https://api.anthropic.com"
MAX_CONCURRENCY = 64
LONGEST_KEY = 500


def private_addresses_allowed() -> bool:
    """Whether keys may be sent into private networks: yes at home, in production only where the operator
    says so."""
    return bool(getattr(settings, "LLM_PRIVATE_ADDRESSES", not settings.PRODUCTION))


def create_connection(
    *,
    actor: User | None,
    team: Team,
    name: str,
    base_url: str = DEFAULT_BASE_URL,
    key: str = "",
    max_concurrency: int = 8,
    make_default: bool = False,
) -> Connection:
    """A saved connection; the key is encrypted for its host. Raises BadInput with the field it is about."""
    connection = Connection(
        team=team,
        name=_checked_name(name),
        base_url=_checked_url(base_url),
        max_concurrency=_checked_concurrency(max_concurrency),
        created_by=actor,
    )
    if key:
        _put_key(connection, key)
    try:
        with transaction.atomic():
            if make_default:
                Connection.objects.of(team).filter(is_default=True).update(is_default=False)
                connection.is_default = True
            connection.save()
            audit.record(
                actor=actor, team=team, verb="connection.created", target=connection, note=connection.host
            )
    except IntegrityError:
        raise BadInput(f"The team has a connection called “{connection.name}”.", field="name") from None
    return connection


def update_connection(
    *,
    actor: User | None,
    connection: Connection,
    name: str,
    base_url: str | None = None,
    key: str = "",
    max_concurrency: int | None = None,
    enabled: bool | None = None,
    make_default: bool | None = None,
) -> Connection:
    """The connection, changed. A new address erases the stored key unless a new key comes with it.

    A key left empty stays. Raises BadInput, or Conflict for what the environment decides.
    """
    before = {
        f: getattr(connection, f) for f in ("name", "base_url", "max_concurrency", "enabled", "is_default")
    }
    changed = Connection.objects.get(pk=connection.pk)
    if changed.from_environment and (key or (base_url is not None and base_url.strip())):
        raise Conflict(
            "Key and address come from ANTHROPIC_API_KEY and ANTHROPIC_BASE_URL. Change them there."
        )
    changed.name = _checked_name(name)
    if max_concurrency is not None:
        changed.max_concurrency = _checked_concurrency(max_concurrency)
    if enabled is not None:
        changed.enabled = enabled
    fields = set()
    if (
        base_url is not None
        and not changed.from_environment
        and changed.provider != Connection.Provider.LOCAL
    ):
        url = _checked_url(base_url)
        if bound_host(url) != changed.host and changed.key_ciphertext:
            # Whoever may change the address must not be able to send the stored key there.
            changed.key_ciphertext = changed.key_last4 = ""
            fields.add("key")
        changed.base_url = url
    if key:
        _put_key(changed, key)
        fields.add("key")
    if fields or changed.base_url != before["base_url"]:
        changed.tried_at = changed.tried_ok = None
        changed.tried_sentence = ""
    try:
        with transaction.atomic():
            if make_default is not None:
                others = Connection.objects.of(changed.team).filter(is_default=True).exclude(pk=changed.pk)
                if make_default:
                    others.update(is_default=False)
                changed.is_default = make_default
            changed.save()
            fields |= {f for f, value in before.items() if getattr(changed, f) != value}
            audit.record(
                actor=actor, team=changed.team, verb="connection.changed", target=changed, fields=fields,
                note=changed.host,
            )  # fmt: skip
    except IntegrityError:
        raise BadInput(f"The team has a connection called “{changed.name}”.", field="name") from None
    return changed


def remove_connection(*, actor: User | None, connection: Connection) -> None:
    """Remove the connection and its key. Raises Conflict when something still refers to it."""
    if connection.from_environment:
        raise Conflict(
            "This connection comes from ANTHROPIC_API_KEY. Switch it off here, or unset the variable."
        )
    try:
        with transaction.atomic():
            audit.record(
                actor=actor,
                team=connection.team,
                verb="connection.removed",
                target=connection,
                note=connection.host,
            )
            connection.delete()
    except ProtectedError:
        raise Conflict(
            f"“{connection.name}” is used by candidates or runs and stays on record. Switch it off instead."
        ) from None


def start_try(*, actor: User | None, connection: Connection) -> Job:
    """The short job that asks the provider whether the key works; a second press finds the same job."""
    last = connection.tried_at.isoformat() if connection.tried_at else "never"
    return start_job(
        actor=actor,
        team=connection.team,
        kind="llm.try_key",
        title=f"Try the key of {connection.name}",
        recipe={"connection": connection.pk},
        subject=connection,
        dedupe_key=f"llm.try_key:{connection.pk}:{last}",
    )


def note_try(*, connection: Connection, ok: bool, sentence: str) -> None:
    """Keep what the last try found."""
    Connection.objects.filter(pk=connection.pk).update(
        tried_at=timezone.now(), tried_ok=ok, tried_sentence=sentence[:300]
    )


def rotate_keys() -> int:
    """How many stored keys were encrypted anew under the newest portal key.

    Safe to repeat and to interrupt.
    """
    n = 0
    for pk, old in (
        Connection.objects.exclude(key_ciphertext="").values_list("pk", "key_ciphertext").iterator()
    ):
        # Only if nobody changed the key meanwhile.
        n += Connection.objects.filter(pk=pk, key_ciphertext=old).update(key_ciphertext=reseal(old))
    return n


def _checked_name(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > 120:
        raise BadInput("Give the connection a name of 1 to 120 characters.", field="name")
    return name


def _checked_url(base_url: str) -> str:
    try:
        return checked_base_url(base_url, allow_private=private_addresses_allowed())
    except BadAddress as error:
        raise BadInput(str(error), field="base_url") from None


def _checked_concurrency(number: int) -> int:
    if not 1 <= number <= MAX_CONCURRENCY:
        raise BadInput(
            f"Between 1 and {MAX_CONCURRENCY} calls may be under way at once.", field="max_concurrency"
        )
    return number


def _put_key(connection: Connection, key: str) -> None:
    key = key.strip()
    if not 8 <= len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
        raise BadInput(
            "This does not look like a key: 8 to 500 letters, digits and signs without blanks.", field="key"
        )
    connection.key_ciphertext = seal(key, host=connection.host)
    connection.key_last4 = key[-4:]
