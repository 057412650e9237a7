"""The answer speaks up by itself: decisions whose facts moved are re-scored by the clock, and who cares is told.

Told once, and only when the approach or its margin class is another one. Saves no decision: that is a person's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.urls import reverse

from decisions import reading
from decisions.domain.approaches import Approach
from decisions.domain.scoring import score_all
from decisions.domain.standing import Standing, news, standing_of
from decisions.domain.tree import walk
from decisions.domain.verdicts import judge
from decisions.models import Decision, UseCase
from foundation.teams import audit
from foundation.teams.domain.roles import Role
from foundation.teams.models import Membership, User
from foundation.teams.notices import Line, notify_each

# So many at a time: worked out without a lock, then written in one short transaction.
CHUNK = 200


@dataclass(frozen=True, slots=True)
class Rescored:
    """How many use cases one run looked at, and at how many the answer or its margin class flipped."""

    n: int
    n_flipped: int


def rescore(*, at_most: int | None = None) -> Rescored:
    """Re-score every use case whose facts moved. Running it twice, or two at once, tells nobody anything twice."""
    n = n_flipped = after = 0
    while at_most is None or n < at_most:
        rows = list(
            UseCase.objects.to_rescore()
            .filter(pk__gt=after)
            .select_related("latest_roi")
            .defer("latest_roi__result", "latest_roi__inputs", "description", "labels", "output_schema")
            .order_by("pk")[:CHUNK]
        )
        if not rows:
            break
        after = rows[-1].pk
        flipped = _settle([(row, _standing_now(row)) for row in rows])
        n += len(rows)
        n_flipped += flipped
    return Rescored(n, n_flipped)


def _standing_now(use_case: UseCase) -> Standing:
    facts, _ = reading.facts_of(use_case)
    answers = reading.answers_of(use_case)
    return standing_of(judge(score_all(facts, answers), walk(facts, answers)))


def _settle(worked_out: Sequence[tuple[UseCase, Standing]]) -> int:
    """Write what one chunk came to, except where somebody was quicker; how many flipped."""
    now = {row.pk: standing for row, standing in worked_out}
    with transaction.atomic():
        locked = {
            row.pk: row
            for row in UseCase.objects.select_for_update()
            .filter(pk__in=now)
            .only("pk", "rescored_revision", "known_standing", "latest_decision_id")
        }
        ours = [row for row, _ in worked_out if _is_untouched(row, locked.get(row.pk))]
        flipped = [row for row in ours if row.known_standing != now[row.pk].word]
        told = _tell(flipped, now) if flipped else []
        for row in ours:
            row.rescored_revision, row.known_standing = row.facts_revision, now[row.pk].word
        UseCase.objects.bulk_update(flipped, ["rescored_revision", "known_standing"])
        quiet = defaultdict(list)
        for row in ours:
            if row.pk not in {f.pk for f in flipped}:
                quiet[row.facts_revision].append(row.pk)
        for revision, pks in quiet.items():
            UseCase.objects.filter(pk__in=pks).update(rescored_revision=revision)
    return len(told)


def _is_untouched(read: UseCase, locked: UseCase | None) -> bool:
    # `facts_revision` may have grown meanwhile: then the row stays due, and what was read is settled all the same.
    return (
        locked is not None
        and locked.rescored_revision == read.rescored_revision
        and locked.known_standing == read.known_standing
        and locked.latest_decision_id == read.latest_decision_id
    )


def _tell(flipped: Sequence[UseCase], now: dict[int, Standing]) -> list[UseCase]:
    """One line a person for each flip, to the decision's author and the team's approvers; an audit event each."""
    decisions = {
        d.use_case_id: d
        for d in Decision.objects.filter(pk__in=[row.latest_decision_id for row in flipped])
        .select_related("author", "team")
        .defer("result")
    }
    approvers = _approvers({row.team_id for row in flipped})
    lines, told = [], []
    for row in flipped:
        decision, standing = decisions[row.pk], now[row.pk]
        decided = Approach(decision.recommendation)
        known = Standing.of_word(row.known_standing)
        title = news(row.name, known, standing, decided) if known else ""
        if not title:
            continue
        changes = reading.changes_between(decision.inputs, reading.inputs_of(row))
        since = "; ".join(f"{c.name}: {c.before} → {c.after}" for c in changes)
        people = {user.pk: user for user in approvers[row.team_id]}
        if (author := decision.author) is not None:
            people[author.pk] = author
        lines.append(
            Line(
                team=decision.team,
                users=list(people.values()),
                title=title,
                body=f"Decision {decision.number} was {decision.headline}. Since then: {since or 'nothing else'}.",
                url=reverse("decisions:decision-preview", args=[row.pk]),
            )
        )
        audit.record(
            actor=None, team=decision.team, verb="decision.flipped", target=decision, note=standing.text
        )
        told.append(row)
    notify_each(lines)
    return told


def _approvers(teams: Iterable[int]) -> dict[int, list[User]]:
    """Who signs in each team: its approvers and admins."""
    found: dict[int, list[User]] = defaultdict(list)
    members = Membership.objects.filter(team__in=teams, role__gte=Role.APPROVER, user__is_active=True)
    for membership in members.select_related("user").order_by("pk"):
        found[membership.team_id].append(membership.user)
    return found
