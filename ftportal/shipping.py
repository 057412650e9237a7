"""Shipping and watching as stages of the lifecycle: register, serve, roll out, watch, learn again, ship again.

Requests come from a file of later traffic, sent through the gateway over HTTP. Without such a file nothing is promoted
on nothing: the version serves, a smoke test is sent, and the stages say what waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone
from django.utils.text import slugify

from datasets import importing
from datasets.domain.mapping import ColumnMapping
from datasets.models import DatasetVersion
from decisions.models import UseCase
from deployments.domain.canary import SCHEDULES, Action, Guardrail, Measure, RolloutState
from deployments.domain.canary import Step as Rung
from deployments.domain.retraining import words_of
from deployments.domain.sequential import Difference, pooled
from deployments.models import (
    Alias,
    DriftCheck,
    Endpoint,
    ModelVersion,
    PerformanceCheck,
    Prediction,
    Retraining,
    Rollout,
)
from deployments.policies import check_four_eyes
from deployments.services import (
    advance_rollout,
    create_endpoint,
    move_rollout,
    register_version,
    set_alias,
    start_rollout,
)
from deployments.services.endpoints import schedules_of
from deployments.services.explaining import examples_of
from deployments.services.retraining import advance_retrainings, approve_retraining, propose_where_needed
from evaluations import services as evaluations
from evaluations.models import Comparison
from foundation.files.models import Blob
from foundation.jobs.models import Job
from foundation.jobs.services import start_job
from foundation.teams.errors import BadInput, NotAllowed
from foundation.ui import formats
from ftportal.course import Course, Found, Step, Stuck, Waiting, state_of

# Seconds instead of hours. Each step replays its rows once, so within a step every request counts once.
FIRST_SHARES, LAST_SHARES = (0.20, 0.50), (0.50,)
HOLD = timedelta(seconds=2)
# Points of right answers that may be lost; while a step gives some dozens of requests, nothing finer can be told.
MARGIN, FIRST_MARGIN = 0.05, 0.10
# The last third of the traffic is kept back: what was learnt again must not be tried on what it learnt from.
LEARN_SHARE = 2 / 3
SMOKE_ROWS = 20
# When everything was sent and recorded, what is still missing does not come by itself.
HELD_AFTER = timedelta(seconds=5)


def _ladder(shares: tuple[float, ...], n: int) -> tuple[Rung, ...]:
    """Steps whose samples `n` requests can give: 60 % of what each share lets expect."""
    return tuple(Rung(share, HOLD, max(20, round(0.6 * share * n))) for share in shares)


def _rails(n: int, margin: float) -> tuple[Guardrail, ...]:
    """Answers take a millisecond here and all on one machine: only a half more latency would mean something."""
    least = min(40, max(20, n // 10))
    return (
        Guardrail(Measure.QUALITY, margin, least),
        Guardrail(Measure.LATENCY, 0.50, least),
        Guardrail(Measure.ERRORS, 0.10, least),
    )


def _has_traffic(course: Course) -> bool:
    return bool(course.recipe.get("traffic"))


def register(course: Course) -> Found | Waiting:
    """The winner as a model version; with traffic also what it has to beat there."""
    use_case, frozen = course.row(UseCase, "use_case"), course.row(DatasetVersion, "version")
    claim = course.row(Comparison, "claim")
    ranked = [e.candidate for e in evaluations.best_candidates(version=frozen)]
    baseline = claim.baseline.candidate
    winner = next((c for c in ranked if c.pk != baseline.pk), baseline)
    facts: dict[str, Any] = {}
    said = []
    if _has_traffic(course) and winner.pk != baseline.pk:
        first = register_version(
            actor=course.actor, use_case=use_case, candidate=baseline, notes="What the winner has to beat."
        )
        facts["baseline_version"] = first.pk
        said.append(f"{first} is what stood before")
    elif claim.verdict != "better":
        winner = ranked[0] if ranked else winner
    made = register_version(
        actor=course.actor, use_case=use_case, candidate=winner, notes=f"Claim on test rows: {claim.finding}"
    )
    facts["model_version"] = made.pk
    return Found("; ".join([*said, f"{made} is registered, learnt from {frozen}"]) + ".", facts)


def serve(course: Course) -> Found | Waiting:
    """An endpoint that answers, with its schedules."""
    use_case, version = course.row(UseCase, "use_case"), course.row(ModelVersion, "model_version")
    if not _has_traffic(course) and course.facts.get("verdict") != "better":
        return Found(
            f"{version} is not served: it is not proven better than {_baseline_name(course)}. "
            "Serve it by hand if you know why."
        )
    first = version
    if "baseline_version" in course.facts:
        first = course.row(ModelVersion, "baseline_version")
    endpoint = Endpoint.objects.of(course.team).current().filter(use_case=use_case).order_by("pk").first()
    if endpoint is None:
        # Text is kept masked, of every request that is replayed: learning again needs it.
        kept = {"text_retention": "sample", "text_share": 1.0} if _has_traffic(course) else {}
        # A version here may ask a paid model: a day of it costs no more than the cap that was given.
        capped = {"daily_budget_microusd": course.recipe.get("cap_microusd") or None}
        endpoint = _endpoint(course, use_case, first, {**kept, **capped})
    if not Alias.objects.filter(use_case=use_case).exists():
        set_alias(actor=course.actor, version=first, note="The first version that serves.")
    facts: dict[str, Any] = {"endpoint": endpoint.pk}
    clock = sum(s.enabled for s in schedules_of(endpoint))
    if _has_traffic(course):
        n = _count(course)
        facts |= {"n_traffic": n, "n_learn": round(n * LEARN_SHARE)}
    return Found(
        f"{first.label} answers at /{endpoint.slug}; {clock} checks by the clock. {_kept(endpoint)}", facts
    )


def _baseline_name(course: Course) -> str:
    return course.row(Comparison, "claim").baseline.candidate.name


def _kept(endpoint: Endpoint) -> str:
    if endpoint.text_retention == "none":
        return "No text is kept."
    masked = ", personal data masked" if endpoint.text_retention == "sample" else ""
    share = endpoint.text_share if endpoint.text_retention == "sample" else 1
    return f"Text of {share:.0%} of requests is kept for {endpoint.text_days} days{masked}."


def _endpoint(course: Course, use_case: UseCase, first: ModelVersion, kept: dict[str, Any]) -> Endpoint:
    stem = slugify(use_case.name)[:50].strip("-") or "model"
    for number in range(1, 100):
        slug = stem if number == 1 else f"{stem}-{number}"
        if Endpoint.objects.filter(slug=slug).exists():
            continue
        try:
            return create_endpoint(actor=course.actor, use_case=use_case, slug=slug, version=first, **kept)
        except BadInput as error:
            if error.field != "slug":
                raise
    raise Stuck(f"Every address like “{stem}” is taken.")


def _mapping(course: Course) -> dict[str, str]:
    given: dict[str, str] = course.recipe["traffic"]["mapping"]
    return given


def _count(course: Course) -> int:
    """Usable rows of the traffic file."""
    blob = Blob.objects.of(course.team).get(pk=course.recipe["traffic"]["blob"])
    mapping = ColumnMapping.from_json(_mapping(course))
    kind = course.row(UseCase, "use_case").task_kind
    layout = importing.layout_of(blob)
    with importing.opened(blob, layout) as source:
        batches = importing.stream_batches(source.stream, layout, mapping, task_kind=kind)
        n = sum(len(batch.good) for batch in batches)
    if n < 30:
        raise Stuck(f"The file of traffic has {n} usable rows. At least 30 are needed.")
    return n


def _replay(course: Course, endpoint: Endpoint, key: str, start: int, end: int, **more: Any) -> Job:
    """The job that sends rows `start` to `end` of the traffic; the same key again is the same job."""
    return start_job(
        actor=course.actor,
        team=course.team,
        kind="deployments.replay",
        title=f"Replay requests {start + 1} to {end} through {endpoint.slug}",
        recipe={
            "endpoint": endpoint.pk,
            "blob": course.recipe["traffic"]["blob"],
            "mapping": _mapping(course),
            "start": start,
            "end": end,
            **more,
        },
        subject=endpoint,
        dedupe_key=f"replay:{endpoint.pk}:{key}",
    )


def roll_out(course: Course) -> Found | Waiting:
    """The winner step by step on live requests; without any, a smoke test."""
    if "endpoint" not in course.facts:
        return Found("Nothing is rolled out.")
    endpoint = course.row(Endpoint, "endpoint")
    if not _has_traffic(course):
        return _smoke(course, endpoint)
    if "baseline_version" not in course.facts:
        return Found("There is one version only: nothing to roll out against.")
    version = course.row(ModelVersion, "model_version")
    rollout = _walk(course, endpoint, version, FIRST_SHARES, 0, course.facts["n_learn"], FIRST_MARGIN)
    if isinstance(rollout, Waiting):
        return rollout
    story = _story(rollout)
    if rollout.phase is RolloutState.PAUSED and (reviewer := course.recipe.get("reviewer", "")):
        claim = course.row(Comparison, "claim")
        together = _together(rollout, _claimed(claim, version))
        if claim.verdict == "better" and together is not None and together.low > 0:
            last = rollout.step_index + 1 == len(rollout.step_rows)
            if _needs_another(course, rollout):
                return Found(
                    f"{story} Another approver decides.",
                    {"rollout": rollout.pk, "rollout_state": rollout.state},
                )
            rollout = move_rollout(
                actor=course.actor,
                rollout=rollout,
                action=Action.PROMOTE if last else Action.STEP,
                reason=f"{reviewer}: live and on test rows together {_points(together)}",
            )
            if not last:
                return Waiting("One step on by hand")
            story += (
                f" Together with its test rows {_points(together)}: promoted by hand, recorded as {reviewer}."
            )
    return Found(story, {"rollout": rollout.pk, "rollout_state": rollout.state})


def _claimed(claim: Comparison, version: ModelVersion) -> dict[str, Any]:
    """The claim's own difference of right answers for this version."""
    keys = set(claim.evaluations.filter(candidate=version.candidate).values_list("pk", flat=True))
    lines = [line for line in claim.result.get("lines", []) if line["candidate_key"] in keys]
    line = lines[0] if lines else {}
    return {"value": line.get("difference"), "low": line.get("low"), "high": line.get("high")}


def _points(d: Difference) -> str:
    return f"{d.value * 100:+.1f} points ({d.low * 100:+.1f} to {d.high * 100:+.1f})"


def _smoke(course: Course, endpoint: Endpoint) -> Found | Waiting:
    frozen = course.row(DatasetVersion, "version")
    split = "validation" if frozen.n_validation else "train"
    n = min(SMOKE_ROWS, frozen.n_validation or frozen.n_train)
    job = start_job(
        actor=course.actor,
        team=course.team,
        kind="deployments.replay",
        title=f"Smoke test of {endpoint.slug}",
        recipe={
            "endpoint": endpoint.pk, "version": frozen.pk, "split": split, "start": 0, "end": n, "anonymous": True
        },
        subject=endpoint,
        dedupe_key=f"replay:{endpoint.pk}:smoke",
    )  # fmt: skip
    if waiting := state_of(job, "Sending a smoke test"):
        return waiting
    return Found(
        f"No traffic came with the file, so nothing was rolled out: {endpoint.baseline.label} is the first version and "
        f"answers alone. Smoke test with {n} {split} rows: {_answered(job)}. Later versions go by a rollout."
    )


def _answered(job: Job) -> str:
    job.refresh_from_db()
    found = job.result or {}
    failures = found.get("failures", {})
    said = f"{found.get('answered', 0):,} answered, {sum(failures.values()):,} failed"
    if failures:
        said += f" ({next(iter(failures))})"
    return f"{said}, through {found.get('gateway') or 'no gateway'}"


def _walk(
    course: Course,
    endpoint: Endpoint,
    version: ModelVersion,
    shares: tuple[float, ...],
    start: int,
    end: int,
    margin: float,
) -> Rollout | Waiting:
    """The rollout when it has come to its end, or to where a person decides; every step gets its requests once."""
    rollout = Rollout.objects.filter(endpoint=endpoint, candidate=version).order_by("-pk").first()
    if rollout is None:
        rollout = start_rollout(
            actor=course.actor,
            endpoint=endpoint,
            candidate=version,
            schedule="demo",
            steps=_ladder(shares, end - start),
            guardrails=_rails(end - start, margin),
            promotes=SCHEDULES["demo"].promotes,
        )
    if rollout.phase is not RolloutState.RUNNING:
        return rollout
    step = rollout.step_index
    key = f"rollout {rollout.pk} step {step}"
    job = _replay(course, endpoint, key, start, end, rollout=rollout.pk, step=step)
    share = formats.percent(rollout.planned_share, 0)
    if waiting := state_of(job, f"{version.label} at {share}"):
        return waiting
    advance_rollout(rollout_id=rollout.pk)
    rollout.refresh_from_db()
    if rollout.phase is RolloutState.RUNNING:
        waited = timezone.now() - max(rollout.held_since, job.finished_at or rollout.held_since)
        if rollout.step_index == step and waited > HELD_AFTER:
            return rollout
        return Waiting(f"{version.label} at {share}: {rollout.reason}")
    return rollout


def _story(rollout: Rollout) -> str:
    """The moves of a rollout in one line."""
    moves = list(rollout.events.order_by("pk").values_list("action", "share", "reason"))
    shares = [formats.percent(share, 0) for action, share, _ in moves if action in ("start", "step")]
    reason = rollout.reason or (moves[-1][2] if moves else "")
    end = {
        RolloutState.PROMOTED: "promoted",
        RolloutState.ROLLED_BACK: "taken back",
        RolloutState.PAUSED: "held, a person decides",
        RolloutState.RUNNING: "still waits",
    }[rollout.phase]
    return f"{rollout.candidate.label} at {', '.join(shares)}, then {end}: {reason}.".replace("..", ".")


def receive(course: Course) -> Found | Waiting:
    """The later requests, answered by the version that serves now."""
    if "endpoint" not in course.facts or not _has_traffic(course):
        return Found("No traffic yet.")
    endpoint = course.row(Endpoint, "endpoint")
    if course.facts.get("rollout_state") not in (None, RolloutState.PROMOTED):
        return Found(f"{endpoint.baseline.label} goes on answering; nothing new serves alone.")
    version = endpoint.baseline
    job = _replay(course, endpoint, f"watch {version.pk}", 0, course.facts["n_learn"])
    if waiting := state_of(job, "Later requests come in"):
        return waiting
    ids = Prediction.objects.filter(endpoint=endpoint, version=version).newest()
    judged = ids.filter(feedback__isnull=False)[: course.facts["n_learn"]].count()
    return Found(
        f"{course.facts['n_learn']:,} requests of {course.recipe['traffic']['file']} to {version.label}: {_answered(job)}; "
        f"{judged:,} words of feedback by prediction id.",
        {"watched": version.pk},
    )


def watch(course: Course) -> Found | Waiting:
    """Both checks as the clock starts them, and what they found."""
    if "endpoint" not in course.facts:
        return Found("Nothing is served, so nothing is watched.")
    endpoint = course.row(Endpoint, "endpoint")
    if "watched" not in course.facts:
        return Found(
            "Drift is looked for each hour, right answers each day; below 100 requests and 50 judged answers they say nothing."
            if not _has_traffic(course)
            else "Nothing new to look at."
        )
    version = course.row(ModelVersion, "watched")
    for schedule in schedules_of(endpoint):
        if not schedule.enabled:
            continue
        # The schedule's own work, an hour early.
        job = start_job(
            actor=course.actor,
            team=course.team,
            kind=schedule.kind,
            title=schedule.name,
            recipe=schedule.recipe,
            subject=endpoint,
            dedupe_key=f"{schedule.kind}:{endpoint.pk}:after {version.pk}",
        )
        if waiting := state_of(job, schedule.name):
            return waiting
    drift = DriftCheck.objects.filter(endpoint=endpoint, version=version).first()
    right = PerformanceCheck.objects.filter(endpoint=endpoint, version=version).first()
    said = [check.finding for check in (drift, right) if check]
    if drift and drift.state == "drifted":
        said.insert(1, _example(drift))
    return Found(
        " ".join(filter(None, said)) or "Nothing could be looked at.",
        {"drift": drift.pk if drift else None, "performance": right.pk if right else None},
    )


def _example(drift: DriftCheck) -> str:
    readings = list(drift.readings.filter(is_drifted=True))
    requests = [e for found, _ in examples_of(readings).values() for e in found if e.text]
    if not requests:
        return ""
    text = requests[0].text
    return f"As in “{text[:90].rstrip()}{'…' if len(text) > 90 else ''}”."


def propose(course: Course) -> Found | Waiting:
    """What the checks ask for."""
    if "endpoint" not in course.facts:
        return Found("Nothing to learn again.")
    endpoint = course.row(Endpoint, "endpoint")
    propose_where_needed()
    found = Retraining.objects.filter(endpoint=endpoint).order_by("-pk").first()
    if found is None:
        return Found("No check asks for a retraining.")
    return Found(
        f"Retraining is proposed because of {found.trigger}: {found.n_new_rows:,} judged requests are new to the dataset.",
        {"retraining": found.pk},
    )


def learn_again(course: Course) -> Found | Waiting:
    """Approved, run and evaluated against production; without somebody who approves, it waits."""
    if "retraining" not in course.facts:
        return Found("Nothing to learn again.")
    retraining = course.row(Retraining, "retraining")
    reviewer = course.recipe.get("reviewer", "")
    if retraining.state == Retraining.State.PROPOSED:
        if not reviewer or course.actor is None:
            return Found("It waits for an approver; it begins a day after the approval, or at once.")
        approve_retraining(actor=course.actor, retraining=retraining, at_once=True, approved_as=reviewer)
    if not retraining.phase.is_final:
        advance_retrainings()
        retraining.refresh_from_db()
        if not retraining.phase.is_final:
            return Waiting(retraining.get_state_display())
    if retraining.state != Retraining.State.DONE or retraining.version is None:
        return Found(f"Approved by {retraining.approver}; it ended as {retraining.state}: {retraining.error}")
    learnt = retraining.dataset_version
    return Found(
        f"Approved by {retraining.approver}; {retraining.version} learnt from {learnt} with {retraining.n_new_rows:,} new rows. "
        f"Against production on {learnt.n_validation if learnt else 0:,} validation rows: {words_of(retraining.improvement)}.",
        {"new_version": retraining.version_id},
    )


def ship_again(course: Course) -> Found | Waiting:
    """The new version on requests it never learnt from."""
    if "new_version" not in course.facts:
        return Found("Nothing new to ship.")
    endpoint, version = course.row(Endpoint, "endpoint"), course.row(ModelVersion, "new_version")
    retraining = course.row(Retraining, "retraining")
    if retraining.improvement.get("verdict") == "worse":
        return Found(f"{version.label} is not rolled out: it is worse than production. {_aliases(course)}")
    rollout = _walk(
        course, endpoint, version, LAST_SHARES, course.facts["n_learn"], course.facts["n_traffic"], MARGIN
    )
    if isinstance(rollout, Waiting):
        return rollout
    reviewer = course.recipe.get("reviewer", "")
    if rollout.phase is RolloutState.PAUSED and reviewer:
        held, together = rollout.reason, _together(rollout, retraining.improvement)
        if together is None or together.low < -MARGIN or _needs_another(course, rollout):
            return Found(f"{_story(rollout)} {_aliases(course)}", {"second_rollout": rollout.pk})
        words = _points(together)
        rollout = move_rollout(
            actor=course.actor,
            rollout=rollout,
            action=Action.PROMOTE,
            reason=f"{reviewer}: live and in its evaluation together {words}, within the margin, and it knows the newer words",
        )
        return Found(
            f"{version.label} at 50 % of requests nobody learnt from, then held: {held}. Together with its evaluation "
            f"{words}: promoted by hand, recorded as {reviewer}. {_aliases(course)}",
            {"second_rollout": rollout.pk},
        )
    return Found(f"{_story(rollout)} {_aliases(course)}", {"second_rollout": rollout.pk})


def _needs_another(course: Course, rollout: Rollout) -> bool:
    try:
        check_four_eyes(
            team=course.team, person=course.actor, author=rollout.created_by, what="began this rollout"
        )
    except NotAllowed:
        return True
    return False


def _together(rollout: Rollout, offline: Mapping[str, Any]) -> Difference | None:
    """What a person weighs: the live difference and the evaluation's, two independent looks at one thing."""
    live: dict[str, Any] = next(
        (r for r in rollout.measured.get("readings", []) if r["measure"] == Measure.QUALITY), {}
    )
    looks = [
        Difference(value, low, high)
        for value, low, high in (
            (found.get("difference", found.get("value")), found.get("low"), found.get("high"))
            for found in (live, offline)
        )
        if value is not None and low is not None and high is not None
    ]
    return pooled(looks)


def _aliases(course: Course) -> str:
    found = Alias.objects.filter(Q(use_case=course.facts["use_case"])).select_related("version")
    names = {a.name: a.version.label for a in found}
    return ", ".join(f"{name} is {names[name]}" for name in ("production", "previous") if name in names) + "."


SHIP_AND_WATCH = (
    Step("register", "Register", register),
    Step("serve", "Serve", serve),
    Step("rollout", "Roll out", roll_out),
    Step("traffic", "Traffic", receive),
    Step("watch", "Watch", watch),
    Step("propose", "Propose", propose),
    Step("learn-again", "Learn again", learn_again),
    Step("ship-again", "Ship again", ship_again),
)
