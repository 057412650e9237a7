"""Connections: keys encrypted, write-only, bound to their host; the environment's; the pages."""

from __future__ import annotations

import json
import logging

import pytest
from django.apps import apps
from django.core.management import call_command
from django.urls import reverse

from foundation.jobs.services import run_until_idle
from foundation.llm import catalogue, connections, services
from foundation.llm.domain.addresses import BadAddress, checked_base_url, is_public
from foundation.llm.errors import NoConnection
from foundation.llm.models import Connection
from foundation.llm.testing.stub_upstream import StubUpstream
from foundation.llm.tests.conftest import PLANTED_KEY, make_connection
from foundation.llm.vault import seal, unseal
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.models import AuditEvent
from foundation.teams.testing import assert_route_guarded

HOST = "https://api.anthropic.com:443"


def page(name, *args):
    return reverse(f"llm:{name}", args=args)


# --- the vault ---


def test_a_sealed_key_opens_only_for_its_host():
    sealed = seal(PLANTED_KEY, host=HOST)
    assert PLANTED_KEY not in sealed
    assert unseal(sealed, host=HOST) == PLANTED_KEY
    with pytest.raises(NoConnection, match="another address"):
        unseal(sealed, host="https://evil.example:443")


def test_t46_portal_keys_rotate(settings, team):
    settings.PORTAL_KEYS = ["old-" + "x" * 40]
    rows = [make_connection(team, "https://a.example", key=f"key-number-{n}", name=str(n)) for n in range(50)]
    settings.PORTAL_KEYS = ["new-" + "y" * 40, "old-" + "x" * 40]
    call_command("rotate_keys")
    settings.PORTAL_KEYS = ["new-" + "y" * 40]
    for n, row in enumerate(rows):
        row.refresh_from_db()
        assert connections.key_of(row) == f"key-number-{n}"
    settings.PORTAL_KEYS = ["lost-" + "z" * 40]
    with pytest.raises(NoConnection, match="PORTAL_KEYS"):
        connections.key_of(rows[0])


# --- having one ---


@pytest.mark.django_db
def test_without_a_key_there_is_no_connection(team, settings):
    settings.ANTHROPIC_API_KEY = ""
    assert connections.default_connection(team) is None
    assert connections.connections_for(team) == []
    assert not connections.has_connection(team)
    assert connections.local_connection(team).provider == "local"
    assert connections.connections_for(team) == [], "what was trained here is no model outside"
    assert connections.local_connection(team).pk == connections.local_connection(team).pk


def test_s78_the_environment_gives_every_team_a_connection(team, outsider, settings):
    settings.ANTHROPIC_API_KEY, settings.ANTHROPIC_BASE_URL = "sk-ant-env-12345678", "http://127.0.0.1:9"
    mine = connections.default_connection(team)
    assert (mine.from_environment, mine.url, mine.shown_key) == (True, "http://127.0.0.1:9", "…5678")
    assert mine.key_ciphertext == "" and mine.base_url == ""
    assert connections.key_of(mine) == "sk-ant-env-12345678"
    assert connections.default_connection(team).pk == mine.pk
    theirs = connections.default_connection(outsider.memberships.get().team)
    assert theirs.pk != mine.pk
    settings.ANTHROPIC_API_KEY = ""
    assert connections.default_connection(team) is None
    with pytest.raises(NoConnection, match="ANTHROPIC_API_KEY is not set"):
        connections.key_of(mine)


def test_the_default_is_the_marked_one_then_the_environment(team, settings):
    settings.ANTHROPIC_API_KEY = "sk-ant-env-12345678"
    own = services.create_connection(actor=None, team=team, name="Own", key="sk-ant-own-1234")
    assert connections.default_connection(team).from_environment
    services.update_connection(actor=None, connection=own, name="Own", make_default=True)
    assert connections.default_connection(team).pk == own.pk
    services.update_connection(actor=None, connection=own, name="Own", enabled=False)
    assert connections.default_connection(team).from_environment
    second = services.create_connection(
        actor=None, team=team, name="Two", key="sk-ant-two-1234", make_default=True
    )
    own.refresh_from_db()
    assert second.is_default and not own.is_default


def test_a_taken_name_does_not_keep_the_environment_out(team, settings):
    services.create_connection(
        actor=None, team=team, name=connections.ENVIRONMENT_NAME, key="sk-ant-own-1234"
    )
    settings.ANTHROPIC_API_KEY = "sk-ant-env-12345678"
    assert connections.environment_connection(team).from_environment


# --- changing it ---


HOST_CHANGES = [
    "https://evil.example",
    "https://api.anthropic.com.evil.example",
    "https://api.anthropic.com:8443",
    "http://127.0.0.1:1",
    "http://localhost",
    "https://API2.anthropic.com/v1",
    "https://xn--anthropic.example",
]


@pytest.mark.parametrize("url", HOST_CHANGES)
def test_t44_a_new_address_erases_the_key(team, admin_user, url):
    made = services.create_connection(actor=admin_user, team=team, name="C", key=PLANTED_KEY)
    changed = services.update_connection(actor=admin_user, connection=made, name="C", base_url=url)
    assert not changed.has_key and changed.key_last4 == ""
    with pytest.raises(NoConnection):
        connections.key_of(changed)
    with_new = services.update_connection(
        actor=admin_user, connection=changed, name="C", base_url=url, key="sk-new-key-5678"
    )
    assert connections.key_of(with_new) == "sk-new-key-5678"


@pytest.mark.parametrize(
    "url",
    [
        "https://api.anthropic.com",
        "https://API.anthropic.com/",
        "https://api.anthropic.com:443/v1",
        "https://api.anthropic.com/sub",
    ],
)
def test_the_same_host_keeps_the_key(team, url):
    made = services.create_connection(actor=None, team=team, name="C", key=PLANTED_KEY)
    changed = services.update_connection(actor=None, connection=made, name="C", base_url=url)
    assert connections.key_of(changed) == PLANTED_KEY


def test_t44_an_address_changed_behind_our_back_opens_nothing(team):
    made = services.create_connection(actor=None, team=team, name="C", key=PLANTED_KEY)
    Connection.objects.filter(pk=made.pk).update(base_url="https://evil.example")
    with pytest.raises(NoConnection, match="another address"):
        connections.key_of(Connection.objects.get(pk=made.pk))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "  "}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"base_url": "ftp://x.example"}, "base_url"),
        ({"base_url": "nonsense"}, "base_url"),
        ({"base_url": "http://api.example.com"}, "base_url"),
        ({"key": "short"}, "key"),
        ({"key": "with blank inside"}, "key"),
        ({"key": "line\nbreak-key"}, "key"),
        ({"key": "schlüssel-ä-ö-ü"}, "key"),
        ({"key": "x" * 501}, "key"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"max_concurrency": 65}, "max_concurrency"),
    ],
)
def test_nonsense_is_refused_at_its_field(team, fields, field):
    given = {"name": "C", "key": PLANTED_KEY, **fields}
    with pytest.raises(BadInput) as caught:
        services.create_connection(actor=None, team=team, **given)
    assert caught.value.field == field
    assert not Connection.objects.exists()


def test_two_of_one_name_are_refused(team):
    services.create_connection(actor=None, team=team, name="C")
    with pytest.raises(BadInput, match="called “C”"):
        services.create_connection(actor=None, team=team, name="C")


def test_the_environments_connection_is_changed_in_the_environment(team, settings):
    settings.ANTHROPIC_API_KEY = "sk-ant-env-12345678"
    mine = connections.environment_connection(team)
    with pytest.raises(Conflict, match="ANTHROPIC_BASE_URL"):
        services.update_connection(actor=None, connection=mine, name="E", base_url="https://evil.example")
    with pytest.raises(Conflict, match="ANTHROPIC_API_KEY"):
        services.remove_connection(actor=None, connection=mine)
    assert services.update_connection(actor=None, connection=mine, name="E", enabled=False).enabled is False
    assert connections.default_connection(team) is None


def test_every_change_is_on_the_record_and_no_key_is(team, admin_user):
    made = services.create_connection(actor=admin_user, team=team, name="C", key=PLANTED_KEY)
    services.update_connection(
        actor=admin_user, connection=made, name="D", base_url="https://b.example", key="sk-other-key-99"
    )
    services.remove_connection(actor=admin_user, connection=made)
    events = list(AuditEvent.objects.filter(team=team).order_by("pk"))
    assert [e.verb for e in events] == ["connection.created", "connection.changed", "connection.removed"]
    assert set(events[1].fields) == {"name", "base_url", "key"}
    assert {e.actor for e in events} == {admin_user}
    everything = json.dumps([[e.note, e.fields, e.digests, e.target_id] for e in events])
    assert PLANTED_KEY not in everything and "sk-other-key" not in everything


# --- addresses ---

PRIVATE = [
    "http://127.0.0.1", "http://localhost", "http://localhost.", "http://[::1]", "http://0.0.0.0", "http://[::]",
    "http://10.0.0.1", "http://172.16.0.1", "http://192.168.1.1", "http://169.254.169.254", "http://[fe80::1]",
    "http://[fd00::1]", "http://[::ffff:127.0.0.1]", "http://[::ffff:10.0.0.1]", "http://2130706433",
    "http://0x7f000001", "http://0x7f.1", "http://0177.0.0.1", "http://127.1", "http://017700000001",
    "http://100.64.0.1", "http://198.18.0.1", "http://224.0.0.1", "http://255.255.255.255", "http://metadata",
    "http://metadata.google.internal", "http://printer.local", "http://router.lan", "http://x.home.arpa",
    "http://[64:ff9b::7f00:1]", "http://[2002:7f00:1::]", "https://127.0.0.1", "https://db", "http://240.0.0.1",
]  # fmt: skip
BROKEN = [
    "", " ", "https://", "//x.example", "javascript:alert(1)", "file:///etc/passwd", "gopher://x.example",
    "https://user:pw@x.example", "https://user@x.example", "https://x.example?a=1", "https://x.example#f",
    "https://x.example:99999", "https://x.exa mple", "https://x.example\n", "https://[::1", "https://例え.jp",
    "x" * 301, "https://" + "a" * 300 + ".example", "data:text/plain,x", "http://api.example.com", "ws://x.example",
]  # fmt: skip


@pytest.mark.parametrize("url", PRIVATE)
def test_t43_private_addresses_are_refused_unless_allowed(url):
    with pytest.raises(BadAddress, match="private networks"):
        checked_base_url(url, allow_private=False)
    assert checked_base_url(url, allow_private=True)


@pytest.mark.parametrize("url", BROKEN)
def test_broken_addresses_are_refused_with_a_sentence(url):
    if url == "https://x.example\n":
        assert checked_base_url(url, allow_private=False) == "https://x.example"
        return
    with pytest.raises(BadAddress) as caught:
        checked_base_url(url, allow_private=True)
    assert str(caught.value).endswith(".")


def test_an_address_loses_what_the_client_adds():
    for given in ("https://Gate.example/", "https://gate.example/v1", " https://gate.example/v1/ "):
        assert checked_base_url(given, allow_private=False) == "https://gate.example"
    assert checked_base_url("https://g.example/a/v1", allow_private=False) == "https://g.example/a"
    assert is_public("1.1.1.1") and is_public("2606:4700::1111") and not is_public("nonsense")


def test_production_sends_no_keys_into_private_networks(team, settings):
    settings.PRODUCTION = True
    with pytest.raises(BadInput, match="private networks"):
        services.create_connection(actor=None, team=team, name="C", base_url="http://127.0.0.1:1")
    settings.LLM_PRIVATE_ADDRESSES = True
    assert services.create_connection(actor=None, team=team, name="C", base_url="http://127.0.0.1:1")


# --- trying a key ---


def try_now(connection):
    job = services.start_try(actor=None, connection=connection)
    run_until_idle(30)
    job.refresh_from_db()
    connection.refresh_from_db()
    return job


def test_a_working_key_is_told_in_one_sentence(connection, stub):
    job = try_now(connection)
    assert job.state == "succeeded"
    assert connection.tried_ok is True
    assert connection.tried_sentence == (
        "The key works: 4 models are offered, claude-haiku-5-5 counts tokens."
    )
    assert stub.calls == 0, "nothing was charged"


def test_only_the_operators_address_may_speak_for_the_catalogue(team, stub, settings, monkeypatch):
    heard = []
    monkeypatch.setattr(catalogue, "note_offered", lambda offered: heard.append(len(list(offered))))
    try_now(make_connection(team, stub.url))
    assert heard == []
    settings.ANTHROPIC_API_KEY, settings.ANTHROPIC_BASE_URL = "sk-ant-env-12345678", stub.url + "/v1/"
    environment = connections.environment_connection(team)
    assert environment.url == stub.url
    try_now(environment)
    assert heard == [4] and environment.tried_ok


def test_a_wrong_key_and_a_dead_address_are_told(team, stub):
    wrong = make_connection(team, stub.url, key="sk-wrong-key-1234", name="wrong")
    assert try_now(wrong).state == "succeeded"
    assert wrong.tried_ok is False and "refused the key" in wrong.tried_sentence
    with StubUpstream() as gone:
        url = gone.url
    dead = make_connection(team, url, name="dead")
    try_now(dead)
    assert dead.tried_ok is False and "could not be reached" in dead.tried_sentence
    empty = services.create_connection(actor=None, team=team, name="empty")
    try_now(empty)
    assert empty.tried_ok is False and "has no key" in empty.tried_sentence


def test_two_presses_are_one_try_and_a_later_press_is_another(connection):
    first = services.start_try(actor=None, connection=connection)
    assert services.start_try(actor=None, connection=connection).pk == first.pk
    run_until_idle(30)
    connection.refresh_from_db()
    assert services.start_try(actor=None, connection=connection).pk != first.pk


# --- pages ---


def test_every_address_is_guarded(connection, client, outsider, viewer, editor, approver, admin_user):
    slug = connection.team.slug
    for url in (
        page("connection-list", slug),
        page("connection-new", slug),
        page("model-list", slug),
        page("connection-detail", connection.pk),
        page("connection-try", connection.pk),
        page("connection-remove", connection.pk),
    ):
        assert_route_guarded(
            client,
            url,
            outsider=outsider,
            viewer=viewer,
            editor=editor,
            approver=approver,
            admin=admin_user,
            methods=("POST",) if url.endswith("remove/") else ("GET", "POST"),
        )


def test_an_admin_makes_tries_changes_and_removes_one(team, admin_user, client_for, stub, settings):
    settings.ANTHROPIC_API_KEY = ""
    client = client_for(admin_user)
    empty = client.get(page("connection-list", team.slug)).content.decode()
    assert "No connections yet" in empty and "not set" in empty
    form = client.get(page("connection-new", team.slug))
    press = form.context["form"]["press"].value()
    given = {"press": press, "name": "Claude", "base_url": stub.url, "key": PLANTED_KEY, "max_concurrency": 4}
    made = client.post(page("connection-new", team.slug), given)
    again = client.post(page("connection-new", team.slug), given)
    connection = Connection.objects.get(team=team)
    assert made["Location"] == again["Location"] == page("connection-detail", connection.pk)
    waiting = client.get(page("connection-detail", connection.pk)).content.decode()
    assert "asking the provider" in waiting and "load delay:1s" in waiting
    run_until_idle(30)
    part = client.get(page("connection-try", connection.pk), headers={"HX-Request": "true"}).content.decode()
    assert "The key works" in part and "load delay" not in part
    changed = client.post(
        page("connection-detail", connection.pk),
        {"name": "Claude", "base_url": "https://elsewhere.example", "max_concurrency": 4, "enabled": "on"},
        follow=True,
    ).content.decode()
    assert "the stored key was erased" in changed
    connection.refresh_from_db()
    assert not connection.has_key
    for url in (page("connection-list", team.slug), page("connection-detail", connection.pk)):
        assert PLANTED_KEY not in client.get(url).content.decode()
    bad = client.post(
        page("connection-detail", connection.pk), {"name": "", "base_url": "x", "max_concurrency": 4}
    )
    assert bad.status_code == 422
    client.post(page("connection-remove", connection.pk))
    assert not Connection.objects.filter(pk=connection.pk).exists()


def test_a_viewer_sees_no_button_and_four_characters(connection, viewer, client_for):
    text = client_for(viewer).get(page("connection-detail", connection.pk)).content.decode()
    assert f"…{PLANTED_KEY[-4:]}" in text and PLANTED_KEY not in text
    assert "Try this key" not in text and 'name="key"' not in text


def test_s78_the_page_tells_whether_the_environment_has_a_key(team, viewer, client_for, settings):
    settings.ANTHROPIC_API_KEY = "sk-ant-env-12345678"
    text = client_for(viewer).get(page("connection-list", team.slug)).content.decode()
    assert "found" in text and "From the environment" in text and "sk-ant-env" not in text


def test_the_catalogue_page_shows_prices_and_ends(team, viewer, client_for, django_assert_max_num_queries):
    client = client_for(viewer)
    with django_assert_max_num_queries(15):
        text = client.get(page("model-list", team.slug)).content.decode()
    assert "claude-haiku-5-5" in text and "above 100,000 tokens" in text and "price not known" in text


def test_the_admin_shows_no_key(connection, client_for, superuser):
    client = client_for(superuser)
    url = reverse("admin:llm_connection_change", args=[connection.pk])
    text = client.get(url).content.decode()
    assert PLANTED_KEY not in text and connection.key_ciphertext not in text
    for model in (
        "modelentry",
        "modelprice",
        "connection",
        "cachedanswer",
        "budget",
        "reservation",
        "connectionslot",
    ):
        assert client.get(reverse(f"admin:llm_{model}_changelist")).status_code == 200
    assert client.get(reverse("admin:files_blob_changelist")).status_code == 200


def test_t42_the_planted_key_is_nowhere_in_the_tables(connection, caplog):
    caplog.set_level(logging.DEBUG)
    try_now(connection)
    everything = []
    for model in apps.get_models():
        for row in model.objects.all().values() if hasattr(model, "objects") else ():
            everything.append(repr(row))
    assert len(everything) > 10
    assert PLANTED_KEY not in "".join(everything)
    assert PLANTED_KEY not in caplog.text
    assert connection.key_ciphertext in "".join(everything)
