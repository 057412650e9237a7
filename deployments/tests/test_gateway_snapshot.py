from __future__ import annotations

import json
import os
import stat

import pytest
from django.db import OperationalError

from deployments.gateway import publishing, routes
from deployments.gateway.watching import Watcher
from deployments.models import GatewayBeat
from deployments.services import begin_new_epoch, issue_gateway_token, revoke_gateway_token, set_split
from deployments.services.endpoints import token_digest
from foundation.llm.errors import NoConnection

BODY = {"endpoints": [], "versions": [], "tokens": []}


def doc(number=5, epoch="e", body=BODY):
    return routes.document(body, epoch=epoch, number=number)


def watcher(tmp_path, **changes):
    installed = []
    made = Watcher(
        tmp_path,
        install=installed.append,
        **{"build": doc, "revision": lambda: ("e", 5), "open_key": lambda v: "k", **changes},
    )
    made.installed = installed
    return made


def flipped(document):
    return {
        **document,
        "body": {**document["body"], "tokens": [{"sha256": "x", "endpoint": 1, "expires_at": None}]},
    }


@pytest.mark.parametrize(
    "poison",
    [
        pytest.param(lambda d: flipped(d), id="changed after its checksum"),
        pytest.param(lambda d: {**d, "sha256": "0" * 64}, id="bad checksum"),
        pytest.param(lambda d: {**d, "schema": 2}, id="unknown schema"),
        pytest.param(lambda d: {**d, "number": 9}, id="number changed"),
        pytest.param(lambda d: {k: v for k, v in d.items() if k != "body"}, id="no body"),
        pytest.param(lambda d: {**doc(4), "x": 1}, id="older"),
        pytest.param(
            lambda d: doc(6, body={"endpoints": [{"slug": "a"}], "versions": [], "tokens": []}),
            id="parts missing",
        ),
        pytest.param(lambda d: doc(6, body={"endpoints": 7, "versions": [], "tokens": []}), id="wrong types"),
    ],
)
def test_a_poisoned_snapshot_leaves_the_last_good_one_and_raises_an_alarm(tmp_path, poison):
    """T23."""
    w = watcher(tmp_path)
    assert w.take(doc(5)) and len(w.installed) == 1
    assert not w.take(poison(doc(5)))
    assert len(w.installed) == 1 and w.current == doc(5) and w.refused == 1 and w.trouble
    assert routes.read(tmp_path) == doc(5)
    assert w.take(doc(7, body={**BODY, "tokens": [{"sha256": "y", "endpoint": 1, "expires_at": None}]}))
    assert w.trouble == "" and len(w.installed) == 2


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_a_truncated_file_is_not_served(tmp_path, cut):
    """T23."""
    routes.write(doc(5), tmp_path)
    file = tmp_path / routes.FILE_NAME
    raw = file.read_bytes()
    file.write_bytes(raw[:cut])
    w = watcher(tmp_path)
    assert not w.from_disk() and w.installed == [] and w.trouble
    file.write_bytes(raw)
    assert w.from_disk() and w.installed[0].number == 5


def test_the_file_is_for_this_account_only_and_whole_or_absent(tmp_path, monkeypatch):
    routes.write(doc(5), tmp_path)
    assert stat.S_IMODE(os.stat(tmp_path / routes.FILE_NAME).st_mode) == 0o600

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(routes.os, "fsync", full)
    with pytest.raises(OSError):
        routes.write(doc(6), tmp_path)
    assert routes.read(tmp_path)["number"] == 5 and [p.name for p in tmp_path.iterdir()] == [routes.FILE_NAME]


def test_a_disk_that_is_full_does_not_stop_serving(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(routes.os, "fsync", full)
    w = watcher(tmp_path)
    assert w.take(doc(5)) and len(w.installed) == 1 and "No space" in w.trouble


def test_another_history_counts_anew(tmp_path):
    """A restored database is older by number and right all the same."""
    w = watcher(tmp_path)
    w.take(doc(50))
    assert not w.take(doc(3))
    assert w.take(doc(3, epoch="restored")) and w.current["number"] == 3


def test_a_database_that_is_away_changes_nothing(tmp_path):
    def away():
        raise OperationalError("gone")

    w = watcher(tmp_path)
    w.take(doc(5))
    w.revision = away
    with pytest.raises(OperationalError):
        w.step()
    assert w.current == doc(5) and not w.trouble


@pytest.mark.django_db
def test_the_snapshot_holds_what_is_served_and_no_secret_in_the_clear(
    endpoint, make_version, connection, editor, tmp_path
):
    token, text = issue_gateway_token(actor=editor, endpoint=endpoint, name="app")
    second = make_version(
        "B",
        connection=connection,
        system="Be kind",
        few_shot=[{"prompt": "p", "completion": "c"}],
        params={"max_tokens": 77, "effort": "low"},
    )
    set_split(
        actor=editor, endpoint=endpoint, baseline=endpoint.baseline, candidate=second, share=0.25, reason="r"
    )
    found = publishing.build()
    raw = json.dumps(found)
    assert "sk-planted-secret" not in raw and text not in raw and connection.key_ciphertext in raw
    ready = routes.ready(routes.parsed(raw.encode()), publishing.open_key)
    address = ready.addresses["triage"]
    assert (address.split.share, address.split.candidate) == (2500, second.pk)
    version = ready.versions[second.pk]
    assert version.headers["authorization"] == "Bearer sk-planted-secret"
    assert version.url == "http://127.0.0.1:9999/v1/messages" and version.system == "Be kind"
    assert (version.max_tokens, version.output_config) == (77, {"effort": "low"})
    assert version.few_shot == ({"role": "user", "content": "p"}, {"role": "assistant", "content": "c"})
    assert version.price is not None and version.labels == ("billing", "delivery")
    assert ready.tokens[token_digest(text)] == (endpoint.pk, token.expires_at.timestamp())
    assert "sk-planted" not in repr(version) and text not in repr(ready)
    revoke_gateway_token(actor=editor, token=token)
    assert publishing.build()["body"]["tokens"] == []


@pytest.mark.django_db
def test_a_key_that_cannot_be_opened_stops_its_own_version_only(endpoint, connection, settings):
    """T44: a key sealed for another host is not used, and the others go on."""
    connection.base_url = "http://elsewhere.example"
    connection.save()
    ready = routes.ready(publishing.build(), publishing.open_key)
    version = ready.versions[endpoint.baseline_id]
    assert version.headers == {} and "another address" in version.trouble
    connection.enabled = False
    connection.save()
    version = routes.ready(publishing.build(), publishing.open_key).versions[endpoint.baseline_id]
    assert "switched off" in version.trouble


@pytest.mark.django_db
def test_a_changed_address_in_the_snapshot_gets_no_key(endpoint, connection, settings):
    """T44: the key is opened for the very address that is called, whatever else the snapshot says."""
    found = publishing.build()["body"]["versions"][0]
    assert publishing.open_key(found) == "sk-planted-secret"
    with pytest.raises(NoConnection):
        publishing.open_key({**found, "base_url": "http://evil.example"})
    settings.ANTHROPIC_API_KEY, settings.ANTHROPIC_BASE_URL = "sk-env", "https://api.example"
    environment = {**found, "key_from_environment": True, "base_url": "https://api.example/"}
    assert publishing.open_key(environment) == "sk-env"
    with pytest.raises(NoConnection, match="changed"):
        publishing.open_key({**environment, "base_url": "https://old.example"})


@pytest.mark.django_db
def test_the_watcher_sees_a_change_and_says_that_it_lives(endpoint, make_version, editor, tmp_path):
    w = watcher(tmp_path, build=publishing.build, revision=publishing.revision, open_key=publishing.open_key)
    w.step()
    assert w.installed[-1].addresses["triage"].split.candidate is None
    w.step()
    assert len(w.installed) == 1
    candidate = make_version("B")
    set_split(
        actor=editor,
        endpoint=endpoint,
        baseline=endpoint.baseline,
        candidate=candidate,
        share=0.5,
        reason="r",
    )
    w.step()
    assert w.installed[-1].addresses["triage"].split.share == 5000
    beat = GatewayBeat.objects.get()
    assert beat.trouble == "" and beat.revision > 0
    begin_new_epoch()
    w.step()
    assert w.current["number"] == 1 and w.trouble == ""
