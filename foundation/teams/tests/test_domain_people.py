"""Rules about people that need no database."""

import pytest

from foundation.teams.domain.chain import START, Link, seal, walk
from foundation.teams.domain.csv_cells import safe_cell
from foundation.teams.domain.roles import Role
from foundation.teams.domain.scopes import Scope, effective_role, scopes_for
from foundation.teams.domain.slugs import free_slug, slug_from


def test_each_role_may_do_what_the_one_before_it_may():
    assert Role.VIEWER < Role.EDITOR < Role.APPROVER < Role.ADMIN
    assert [role.label for role in Role] == ["Viewer", "Editor", "Approver", "Admin"]


@pytest.mark.parametrize(
    ("scope", "role", "acts_as"),
    [
        pytest.param(Scope.READ, Role.ADMIN, Role.VIEWER, id="a reading token reads, whoever made it"),
        pytest.param(Scope.WRITE, Role.EDITOR, Role.EDITOR, id="a writing token of an editor edits"),
        pytest.param(Scope.WRITE, Role.VIEWER, Role.VIEWER, id="its maker was made a viewer since"),
        pytest.param(Scope.WRITE, Role.ADMIN, Role.APPROVER, id="no token administers people"),
    ],
)
def test_a_token_never_does_more_than_its_maker(scope, role, acts_as):
    assert effective_role(scope, role) is acts_as


def test_a_viewer_can_only_give_reading():
    assert scopes_for(Role.VIEWER) == (Scope.READ,)
    assert scopes_for(Role.EDITOR) == (Scope.READ, Scope.WRITE)


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1+1",
        "-1+1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "  =1+1",
        "=cmd|'/c calc'!A0",
        "-2+3+cmd",
        "+A1",
        " -5",
    ],
)
def test_a_formula_becomes_text(text):
    assert safe_cell(text) == "'" + text


@pytest.mark.parametrize("text", ["hello", "a=b", "-3.5", "+4", "-1e-3", "", "'=1", "12", "1-2"])
def test_plain_text_and_numbers_stay_as_they_are(text):
    assert safe_cell(text) == text


def test_nothing_is_an_empty_cell():
    assert safe_cell(None) == ""


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Support platform", "support-platform"),
        ("Élan & Söhne", "elan-sohne"),
        ("日本", "team"),
        ("--", "team"),
    ],
)
def test_a_slug_is_plain_letters(name, slug):
    assert slug_from(name) == slug


def test_a_long_name_makes_a_slug_that_fits():
    assert len(slug_from("a" * 500)) == 50


def test_a_taken_slug_gets_a_number():
    assert free_slug("Team A", {"team-a", "team-a-2"}.__contains__) == "team-a-3"


# --- the chain ----------------------------------------------------------------------------------------------


def _chain(n):
    links, head = [], START
    for number in range(1, n + 1):
        content = {"id": number, "verb": "thing.done"}
        head = seal(head, content)
        links.append(Link(number, content, head))
    return links, {n: head}


def test_a_seal_is_the_sha256_of_the_seal_before_and_the_event():
    # printf '%064d\n{"id":1}' 0 | sha256sum
    assert seal(START, {"id": 1}) == "cca6fe2b6ac2f23ff34e3d7cd60e9b4462026d1115a08a76d438bb5f901d22ec"
    assert seal(START, {"a": 1, "b": 2}) == seal(START, {"b": 2, "a": 1})
    assert seal(START, {"id": 1}) != seal("1" * 64, {"id": 1})


def test_a_whole_chain_is_whole():
    links, heads = _chain(5)
    verdict = walk(links, heads)
    assert (verdict.broken_at, verdict.n_sealed) == (None, 5)
    assert verdict.sentence == "All 5 sealed events are whole and in order."


def test_no_events_are_whole():
    assert walk([], {}).broken_at is None


def _changed(links):
    links[2] = Link(3, {"id": 3, "verb": "something.else"}, links[2].sha256)


def _missing(links):
    del links[2]


def _swapped(links):
    links[2], links[3] = links[3], links[2]


def _cut_off(links):
    del links[-1]


@pytest.mark.parametrize(
    ("harm", "where"),
    [
        pytest.param(_changed, 3, id="an event was changed"),
        pytest.param(_missing, 3, id="an event was taken out"),
        pytest.param(_swapped, 3, id="two events changed places"),
        pytest.param(_cut_off, 5, id="the end was cut off"),
        pytest.param(list.clear, 1, id="everything was taken out"),
    ],
)
def test_harm_to_the_chain_is_found_where_it_is(harm, where):
    links, heads = _chain(5)
    harm(links)
    assert walk(links, heads).broken_at == where


def test_a_chain_written_anew_does_not_end_where_the_batches_say():
    _, heads = _chain(3)
    head, forged = START, []
    for number in (1, 2, 3):
        head = seal(head, {"id": number, "verb": "forged"})
        forged.append(Link(number, {"id": number, "verb": "forged"}, head))
    assert walk(forged, heads).broken_at == 3
