from __future__ import annotations

import math
import subprocess
import sys

import pytest

from deployments.domain.routing import (
    BUCKETS,
    Arm,
    Split,
    assign,
    keyed_hash,
    share_in_buckets,
    sticky_key,
)

SALT = b"0123456789abcdef"


def split(**changes):
    return Split(
        **{"endpoint": "triage", "salt": SALT, "baseline": 1, "candidate": 2, "share": 1000, **changes}
    )


def test_the_split_is_observed_and_growing_it_moves_nobody_back():
    """T18: 1,000,000 ids; weights 1/5/25/50/100 % within three standard deviations; 0 of them move back."""
    n = 1_000_000
    buckets = [keyed_hash(SALT, "triage", f"user-{number}") % BUCKETS for number in range(n)]
    counts = [0] * BUCKETS
    for bucket in buckets:
        counts[bucket] += 1
    below = 0
    for position, share in enumerate((100, 500, 2500, 5000, 10_000)):
        inside = sum(counts[:share])
        p = share / BUCKETS
        assert abs(inside - n * p) <= 3 * math.sqrt(n * p * (1 - p)), f"share {p} had {inside} of {n}"
        assert inside >= below or position == 0
        below = inside
    # Whoever is in the candidate's part stays there: the parts are nested, each a prefix of the next.
    for one, bucket in enumerate(buckets[:20_000]):
        arms = [assign(split(share=s), f"user-{one}", chance=0).arm for s in (100, 500, 2500, 5000, 10_000)]
        first = next(i for i, arm in enumerate(arms) if arm is Arm.CANDIDATE)
        assert all(arm is Arm.CANDIDATE for arm in arms[first:])
        assert (arms[0] is Arm.CANDIDATE) == (bucket < 100)


def test_another_process_gives_the_same_answer():
    code = (
        "from deployments.domain.routing import keyed_hash;"
        f"print(sum(keyed_hash({SALT!r}, 'triage', f'user-{{n}}') for n in range(1000)))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(other) == sum(keyed_hash(SALT, "triage", f"user-{n}") for n in range(1000))


def test_another_endpoint_or_salt_draws_anew():
    mine = [keyed_hash(SALT, "triage", f"user-{n}") % BUCKETS < 1000 for n in range(5000)]
    for salt, endpoint in ((SALT, "other"), (b"another salt", "triage")):
        theirs = [keyed_hash(salt, endpoint, f"user-{n}") % BUCKETS < 1000 for n in range(5000)]
        both = sum(a and b for a, b in zip(mine, theirs, strict=True))
        # Independent draws of 10 % meet in 1 %: 50 of 5,000, standard deviation 7.
        assert 25 < both < 80


@pytest.mark.parametrize(
    ("changes", "key", "want"),
    [
        pytest.param({"is_on": False}, "a", None, id="switched off answers nobody"),
        pytest.param({"share": 0}, "a", (1, Arm.BASELINE, None), id="a share of nothing is nobody"),
        pytest.param({"share": BUCKETS}, "a", (2, Arm.CANDIDATE, None), id="the whole share is everybody"),
        pytest.param({"candidate": None, "share": BUCKETS}, "a", (1, Arm.BASELINE, None), id="no candidate"),
        pytest.param(
            {"share": BUCKETS, "is_shadow": True}, "a", (1, Arm.BASELINE, 2), id="a shadow answers nobody"
        ),
        pytest.param(
            {"share": BUCKETS, "is_shadow": True, "is_on": False}, "a", None, id="off stops shadows too"
        ),
    ],
)
def test_who_gets_what(changes, key, want):
    got = assign(split(**changes), key, chance=7)
    assert (got and (got.version, got.arm, got.shadow)) == want


def test_a_request_without_a_key_goes_by_chance_and_says_so():
    got = assign(split(share=1), "", chance=0)
    assert (got.version, got.is_sticky, got.sticky_hash) == (2, False, "")
    assert assign(split(share=1), "", chance=BUCKETS - 1).version == 1
    assert assign(split(), "somebody", chance=0).is_sticky


def test_the_hash_kept_does_not_tell_the_key():
    got = assign(split(), "ana@example.org", chance=0)
    assert len(got.sticky_hash) == 16 and "ana" not in got.sticky_hash


@pytest.mark.parametrize("share", [1.5, -0.1, float("nan"), float("inf")])
def test_a_share_outside_zero_to_one_is_refused(share):
    """D24: the chapter's code took 1.5 and split the traffic -0.5 to 1.5."""
    with pytest.raises(ValueError):
        share_in_buckets(share)
    with pytest.raises(ValueError):
        split(share=10_001)


@pytest.mark.parametrize(
    ("header", "body", "want"),
    [
        pytest.param("h", {"metadata": {"user_id": "m"}, "user": "u"}, "h", id="the header first"),
        pytest.param("", {"metadata": {"user_id": "m"}, "user": "u"}, "m", id="then metadata.user_id"),
        pytest.param("", {"user": "u"}, "u", id="then user"),
        pytest.param("", {"metadata": {"user_id": 7}, "user": ""}, "", id="a number is no key"),
        pytest.param("", {"metadata": "x"}, "", id="nothing"),
        pytest.param("x" * 9000, {}, "x" * 512, id="cut"),
        pytest.param("", {"user": "\ud800"}, "\ud800", id="half a surrogate is still a key"),
    ],
)
def test_the_key_is_chosen_in_order(header, body, want):
    key = sticky_key(header, body)
    assert key == want
    if key:
        assert assign(split(), key, chance=0) is not None
