"""Splits between two versions: stickiness, falling back, the breaker, shadow copies."""

from __future__ import annotations

import asyncio
from datetime import date
from types import SimpleNamespace

import pytest

from deployments.domain.routing import BUCKETS
from deployments.gateway import breaker
from deployments.gateway.local import LocalModels
from deployments.tests.gateway_help import QUESTION, run, version
from foundation.llm.domain.pricing import Price, Rates

PRICE = Price((Rates(date(2026, 1, 1), 0, 1_000_000, 5_000_000, 1_250_000, 2_000_000, 100_000),))


def test_a_split_sends_the_same_person_to_the_same_version():
    async def test(h):
        h.routes([version(1, "fine", h.url), version(2, "better", h.url)], candidate=2, share=3000)
        first = {
            n: (await h.ask(headers={"x-sticky-key": f"u{n}"})).headers["x-model-version"] for n in range(60)
        }
        again = {
            n: (await h.ask(headers={"x-sticky-key": f"u{n}"})).headers["x-model-version"] for n in range(60)
        }
        assert first == again and set(first.values()) == {"v1", "v2"}
        rows = h.rows()
        assert {r["arm"] for r in rows} == {"baseline", "candidate"} and all(r["is_sticky"] for r in rows)
        assert not (await h.ask()).headers.get("nothing") and not h.rows()[-1]["is_sticky"]

    run(test)


@pytest.mark.parametrize("model", ["http-500", "http-429", "reset", "nonsense", "hang", "http-401"])
def test_a_failing_candidate_falls_back_to_the_baseline_and_says_so(model):
    """T24: the client gets its answer; the record knows who failed, and the arm stays the candidate's."""

    async def test(h):
        h.routes(
            [version(1, "fine", h.url), version(2, model, h.url)], candidate=2, share=BUCKETS, timeout_s=0.3
        )
        for stream in (False, True):
            reply = await h.ask({**QUESTION, "stream": stream})
            assert reply.status == 200 and reply.headers["x-model-version"] == "v1"
        for row in h.rows():
            assert (row["arm"], row["version_id"], row["is_fallback"]) == ("candidate", 1, True)
            assert row["fallback_reason"] and row["error"] == ""

    run(test)


def test_without_the_wish_to_fall_back_the_candidates_error_is_the_answer():
    async def test(h):
        h.routes(
            [version(1, "fine", h.url), version(2, "http-500", h.url)],
            candidate=2,
            share=BUCKETS,
            falls_back=False,
        )
        assert (await h.ask()).status == 500
        assert h.rows()[0]["version_id"] == 2

    run(test)


def test_a_candidate_that_keeps_failing_is_left_alone_for_a_while(monkeypatch):
    """The guardrail that needs no database: after five failures in a row the baseline answers at once."""

    async def test(h):
        h.routes([version(1, "fine", h.url), version(2, "http-500", h.url)], candidate=2, share=BUCKETS)
        for _ in range(12):
            assert (await h.ask()).status == 200
        assert sum(s["body"]["model"] == "http-500" for s in h.provider.seen) == 5
        assert [r["fallback_reason"] for r in h.rows()] == ["upstream"] * 5 + ["resting"] * 7
        monkeypatch.setattr(breaker, "BREAKER_REST_S", 0.0)
        h.gateway.breaker.failures[2] = (5, 0.0)
        await h.ask()
        assert sum(s["body"]["model"] == "http-500" for s in h.provider.seen) == 6

    run(test)


def test_a_candidate_whose_streams_break_off_is_left_alone_too():
    """Such a stream began with 200; that it began is no success."""

    async def test(h):
        h.routes([version(1, "fine", h.url), version(2, "cut", h.url)], candidate=2, share=BUCKETS)
        for _ in range(7):
            assert (await h.ask({**QUESTION, "stream": True})).status == 200
        assert [r["fallback_reason"] for r in h.rows()] == [""] * 5 + ["resting"] * 2

    run(test)


def test_copies_that_break_off_open_nobodys_breaker():
    async def test(h):
        served = [version(1, "fine", h.url), version(2, "cut", h.url)]
        h.routes(served, candidate=2, share=BUCKETS, is_shadow=True)
        for _ in range(6):
            await h.ask({**QUESTION, "stream": True})
        await asyncio.gather(*h.gateway.shadows)
        assert [r["error"] for r in h.rows() if r["arm"] == "shadow"] == ["cut"] * 6
        assert not h.gateway.breaker.failures

    run(test)


def test_an_answer_in_the_candidates_place_carries_no_error_of_the_candidate():
    async def test(h):
        h.routes(
            [version(1, provider="local", artefact="m"), version(2, "http-500", h.url)],
            candidate=2,
            share=BUCKETS,
        )
        assert (await h.ask()).status == 200
        assert (h.rows()[0]["fallback_reason"], h.rows()[0]["error"]) == ("upstream", "")

    found = [SimpleNamespace(text="delivery", confidence=0.9)]
    run(test, local=LocalModels(lambda path: SimpleNamespace(answer=lambda texts: found)))


def test_a_shadow_is_asked_and_never_shown():
    async def test(h):
        h.routes(
            [version(1, "fine", h.url), version(2, "better", h.url)],
            candidate=2,
            share=BUCKETS,
            is_shadow=True,
        )
        reply = await h.ask()
        assert reply.headers["x-model-version"] == "v1" and reply.json["model"] == "fine"
        await asyncio.gather(*h.gateway.shadows)
        shown, copied = sorted(h.rows(), key=lambda r: r["arm"])
        assert (copied["arm"], copied["version_id"], copied["shadow_of"]) == ("shadow", 2, shown["id"])
        assert shown["arm"] == "baseline"

    run(test)
