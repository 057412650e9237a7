"""Freezing a dataset into a version, and taking versions out again as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.urls import reverse
from django.utils import timezone

from datasets.asked import keep_asked
from datasets.datasheets import about
from datasets.domain.crossvalidation import MOST_ROWS
from datasets.domain.freezing_rules import MIN_REASON, Stance, Standing
from datasets.domain.gate import Gate, size_gate
from datasets.domain.recipe import Recipe
from datasets.domain.splitting import Ratios, Strategy
from datasets.domain.statuses import LookKind, VersionState
from datasets.domain.training import RunState
from datasets.errors import Blocked
from datasets.freezing import Frozen, compose
from datasets.freezing_rows import write_rows
from datasets.models import Dataset, DatasetVersion, Look, Review, TrainingRun
from datasets.policies import check_can_change, check_can_use
from datasets.services.contents import clear_rows
from datasets.services.fixing import fix_under_way
from datasets.services.gating import blockers, gate_of, standing_judging
from datasets.services.labels import change_under_way
from datasets.services.mixing import mix_without_leak
from datasets.vault import SHARES_TEST_WITH, earlier_with_rows_of
from decisions.services import record_evidence
from foundation.jobs.services import start_job
from foundation.teams import audit
from foundation.teams.errors import BadInput
from foundation.teams.models import User

# How often rows that change while they are read are read anew.
READ_AT_MOST = 5


def start_freeze(
    *,
    actor: User | None,
    dataset: Dataset,
    seed: str = "",
    ratios: Ratios | tuple[Any, Any, Any] = ("0.8", "0.1", "0.1"),
    strategy: Strategy | str = Strategy.STRATIFIED,
    size_test_by_power: bool = True,
    keep_groups: bool = True,
    n_folds: int = 0,
    fresh_test: bool = False,
    drop_leaks: Sequence[str] = (),
    learnt_from: Sequence[str] = (),
    learnt_whole: Sequence[str] = (),
    override_reason: str = "",
    notes: str = "",
) -> DatasetVersion:
    """A version being built; its job (`version.job`) freezes it. The same request while one is built is that one.

    `fresh_test` draws the test from rows no frozen version held; `drop_leaks` leaves out training rows that share a
    prompt, a group or a later time with the test. `learnt_from` are checksums of versions whose training rows train
    again, so that whoever learnt from them can be compared on validation and test; `learnt_whole` likewise with
    their validation rows, which a final model after a cross-validation learnt from. What any final model of this
    dataset learnt from never becomes a test row, so that there is something left to judge it on.

    Raises: BadInput for shares, strategy or seed that make no sense, Blocked while a gate stands and no reason of
    10 characters is given.
    """
    check_can_change(dataset)
    dataset = Dataset.objects.select_related("team", "use_case").get(pk=dataset.pk)
    if not dataset.n_active:
        raise Blocked("There are no rows yet. Import a file first.")
    recipe = make_recipe(
        dataset,
        seed=seed,
        ratios=ratios,
        strategy=strategy,
        size_test_by_power=size_test_by_power,
        keep_groups=keep_groups,
        n_folds=n_folds,
        fresh_test=fresh_test,
        drop_leaks=drop_leaks,
        learnt_from=learnt_from,
        learnt_whole=learnt_whole,
    )
    if recipe.strategy is Strategy.TIME and not dataset.examples.active().exclude(at=None).exists():
        raise BadInput(
            "No row carries a time. Map a time column, or choose another way to split.", field="strategy"
        )
    reason = override_reason.strip()
    standing = blockers(dataset)
    if standing and len(reason) < MIN_REASON:
        raise Blocked(" ".join(b["sentence"] for b in standing) + " Write a reason to freeze all the same.")
    key = f"freeze:{dataset.pk}:{dataset.revision}:{orjson.dumps(recipe.as_json()).decode()}"
    building = DatasetVersion.objects.filter(dataset=dataset, state=VersionState.BUILDING).order_by("-number")
    for version in building:
        if version.report.get("request") == key:
            return version
    for _ in range(5):
        number = (DatasetVersion.objects.filter(dataset=dataset).aggregate(n=Max("number"))["n"] or 0) + 1
        try:
            with transaction.atomic():
                Dataset.objects.select_for_update().get(pk=dataset.pk)
                if change_under_way(dataset):
                    raise Blocked("Labels are being changed. Freeze when that is done.")
                if fix_under_way(dataset):
                    raise Blocked("Rows are being mended. Freeze when that is done.")
                version = DatasetVersion.objects.create(
                    team=dataset.team,
                    dataset=dataset,
                    number=number,
                    recipe=recipe.as_json(),
                    task_kind=recipe.task_kind,
                    # Copies are counted here and left out by the freeze: its size may want a reason that nothing wants yet.
                    override_reason=reason,
                    notes=notes.strip(),
                    report={"request": key, "blockers": standing},
                    created_by=actor,
                )
                job = start_job(
                    actor=actor,
                    team=dataset.team,
                    kind="datasets.freeze",
                    title=f"Freeze {dataset.name} version {number}",
                    recipe={"version": version.pk},
                    subject=version,
                    url=reverse("datasets:version-detail", args=[version.pk]),
                    dedupe_key=f"freeze:{version.pk}",
                )
                DatasetVersion.objects.filter(pk=version.pk).update(job=job)
                audit.record(
                    actor=actor,
                    team=dataset.team,
                    verb="version.started",
                    target=version,
                    note="gate overridden" if standing else "",
                )
            version.refresh_from_db()
            return version
        except IntegrityError:
            continue
    raise Blocked("Several versions are being frozen at this moment. Try again.")


def make_recipe(
    dataset: Dataset,
    *,
    seed: str,
    ratios: Ratios | tuple[Any, Any, Any],
    strategy: Strategy | str,
    size_test_by_power: bool,
    keep_groups: bool,
    n_folds: int = 0,
    fresh_test: bool = False,
    drop_leaks: Sequence[str] = (),
    learnt_from: Sequence[str] = (),
    learnt_whole: Sequence[str] = (),
) -> Recipe:
    """The recipe a person asked for. Raises BadInput naming the field."""
    if not isinstance(ratios, Ratios):
        try:
            ratios = Ratios.of(*ratios)
        except ValueError as error:
            raise BadInput(str(error), field="train") from None
    if ratios.train == 0:
        raise BadInput("Training needs a share above 0.", field="train")
    try:
        strategy = Strategy(strategy)
    except ValueError:
        raise BadInput("Choose one of the ways to split.", field="strategy") from None
    if n_folds and n_folds != allowed_folds(dataset, ratios, n_folds):
        raise BadInput(
            f"More than {MOST_ROWS:,} rows outside the test are not cross-validated: their validation rows judge well "
            "enough. Freeze without folds.",
            field="n_folds",
        )
    fresh_after: tuple[str, ...] = ()
    if fresh_test:
        frozen = DatasetVersion.objects.frozen().filter(dataset=dataset)
        fresh_after = tuple(sorted(set(frozen.values_list("checksum", flat=True))))
        if not fresh_after:
            raise BadInput("No version was frozen yet, so every row is fresh.", field="fresh_test")
    try:
        return Recipe(
            seed=(seed or f"{dataset.name}-1")[:60],
            ratios=ratios,
            strategy=strategy,
            task_kind=dataset.use_case.task_kind,
            size_test_by_power=size_test_by_power,
            keep_groups=keep_groups,
            n_folds=n_folds,
            fresh_after=fresh_after,
            drop_leaks=tuple(sorted(set(drop_leaks))),
            learnt_from=tuple(sorted(set(learnt_from))),
            learnt_whole=tuple(sorted(set(learnt_whole))),
            never_tested=_with_final_models(dataset),
        )
    except ValueError as error:
        field = "n_folds" if "folds" in str(error) else "drop_leaks" if "Leaks" in str(error) else "seed"
        raise BadInput(str(error), field=field) from None


def allowed_folds(dataset: Dataset, ratios: Ratios, n_folds: int) -> int:
    """`n_folds`, or 0 where the dataset has grown beyond what is cross-validated."""
    return 0 if dataset.n_active * (1 - float(ratios.test)) > MOST_ROWS else n_folds


def _with_final_models(dataset: Dataset) -> tuple[str, ...]:
    """Checksums of the versions that have a final model, or one on its way: it learnt from validation rows too."""
    runs = TrainingRun.objects.filter(version__dataset=dataset).exclude(cross_validation=None)
    kept = runs.exclude(state__in=[RunState.FAILED, RunState.CANCELLED])
    return tuple(sorted(set(kept.values_list("version__checksum", flat=True))))


# Which leak a press mends, and by which change of the recipe.
REPAIRS: dict[str, dict[str, Any]] = {
    "group": {"keep_groups": True},
    "time": {"strategy": Strategy.TIME},
    "drop-prompt": {"drop_leaks": ("prompt",)},
    "drop-group": {"drop_leaks": ("group",)},
    "drop-time": {"drop_leaks": ("time",)},
}


def repair_leaks(*, actor: User | None, version: DatasetVersion, repair: str) -> DatasetVersion:
    """A new version by the recipe of this one, changed so that one kind of leak ends. The old one stays as it is.

    "group" and "time" move rows; "drop-…" leaves training rows out. The notes say what was mended.
    Raises: BadInput for a repair that is not offered, Blocked as `start_freeze` does.
    """
    if repair not in REPAIRS:
        raise BadInput("There is no such repair.", field="repair")
    check_can_use(version)
    notes = f"Mends the leakage of version {version.number}: {REPAIR_WORDS[repair]}."
    if "mix" in version.recipe:
        if not repair.startswith("drop-"):
            raise BadInput("A mix keeps the splits of its versions. Leave rows out instead.", field="repair")
        kind = repair.removeprefix("drop-")
        return mix_without_leak(actor=actor, version=version, kind=kind, notes=notes)
    recipe = Recipe.from_json(version.recipe)
    given: dict[str, Any] = {
        "seed": recipe.seed,
        "ratios": recipe.ratios,
        "strategy": recipe.strategy,
        "size_test_by_power": recipe.size_test_by_power,
        "keep_groups": recipe.keep_groups,
        "n_folds": allowed_folds(version.dataset, recipe.ratios, recipe.n_folds),
        "fresh_test": bool(recipe.fresh_after),
        "drop_leaks": recipe.drop_leaks,
        "learnt_from": recipe.learnt_from,
        "learnt_whole": recipe.learnt_whole,
    }
    change = dict(REPAIRS[repair])
    if "drop_leaks" in change:
        change["drop_leaks"] = (*recipe.drop_leaks, *change["drop_leaks"])
    reason = version.override_reason or f"Repairs version {version.number}, which was frozen before"
    # A second press finds what the first one made, as long as the rows are the same.
    dataset = Dataset.objects.get(pk=version.dataset_id)
    made = DatasetVersion.objects.filter(dataset=dataset, notes=notes).exclude(state=VersionState.FAILED)
    for mended in made.order_by("-number")[:5]:
        if mended.report.get("request", "").startswith(f"freeze:{dataset.pk}:{dataset.revision}:"):
            return mended
    return start_freeze(
        actor=actor,
        dataset=version.dataset,
        override_reason=reason,
        notes=notes,
        **{**given, **change},
    )


REPAIR_WORDS = {
    "group": "rows of one group moved into one split",
    "time": "rows moved so that the newest are the test",
    "drop-prompt": "training rows with a prompt of validation or test left out",
    "drop-group": "training rows of a group in validation or test left out",
    "drop-time": "rows newer than the oldest test row left out of training and validation",
}


# --- called by the freeze job ------------------------------------------------------------------------------------


def build_version(
    *,
    version: DatasetVersion,
    progress: Callable[[str], None],
    still_mine: Callable[[], None] = lambda: None,
) -> Frozen | None:
    """Compose a version and write its rows; they count once `flip_version` ran. None when it is frozen already.

    `still_mine` raises where another worker took over: one that was suspended must not take out what that one wrote.
    """
    version.refresh_from_db()
    if version.state != VersionState.BUILDING:
        return None
    for _ in range(READ_AT_MOST):
        dataset = Dataset.objects.select_related("team", "use_case").get(pk=version.dataset_id)
        frozen = compose(dataset, Recipe.from_json(version.recipe), progress=progress)
        # Rows are read block by block: a fix or an edit in between would leave half of it in the version.
        if Dataset.objects.filter(pk=dataset.pk, revision=dataset.revision).exists():
            break
        progress("The rows were changed meanwhile: reading them again")
    else:
        raise Blocked(
            "The rows kept changing while they were read. Freeze when nobody else is changing them."
        )
    gate = size_gate(frozen.n_rows, override_reason=version.override_reason)
    size_blocks = not frozen.n_rows or gate_of(dataset.team)["size"] is Stance.BLOCKS
    if gate.is_blocked and size_blocks:
        raise Blocked(gate.sentence)
    overridden = version.report.get("blockers", [])
    if gate.state is Gate.OVERRIDDEN and size_blocks and "size" not in {b["rule"] for b in overridden}:
        few = size_gate(frozen.n_rows).sentence
        overridden = [*overridden, Standing("size", few, blocks=True).as_json()]
        frozen.report["blockers"] = overridden
    # A reason that nothing asked for overrode nothing.
    frozen.report["gate"] = (gate if overridden else size_gate(frozen.n_rows)).as_json()
    still_mine()
    clear_rows(version, still_mine=still_mine)
    write_rows(version=version, frozen=frozen, progress=progress)
    return frozen


def flip_version(*, version: DatasetVersion, frozen: Frozen) -> DatasetVersion:
    """The frozen version: from here on it never changes."""
    dataset = Dataset.objects.select_related("team", "use_case").get(pk=version.dataset_id)
    report = {
        **version.report,
        **frozen.report,
        "about": about(dataset),
        "review": _review_summary(dataset),
        "quality": _quality_summary(dataset),
    }
    if dataset.checks is not None:
        report["findings"] = {f.rule: f.n_rows for f in dataset.checks.findings.unmended()}
        report["checks_are_current"] = dataset.checks_are_current
    keep_asked(version)
    report[SHARES_TEST_WITH] = earlier_with_rows_of(version)
    with transaction.atomic():
        moved = DatasetVersion.objects.filter(pk=version.pk, state=VersionState.BUILDING).update(
            state=VersionState.FROZEN,
            checksum=frozen.checksum,
            n_rows=frozen.n_rows,
            n_train=frozen.sizes["train"],
            n_validation=frozen.sizes["validation"],
            n_test=frozen.sizes["test"],
            labels=frozen.labels,
            report=report,
            override_reason=version.override_reason if report.get("blockers") else "",
            stats=frozen.stats,
            frozen_at=timezone.now(),
        )
        if moved:
            audit.record(
                actor=version.created_by,
                team=dataset.team,
                verb="version.frozen",
                target=version,
                digests={"checksum": frozen.checksum},
            )
    version.refresh_from_db()
    if moved:
        record_evidence(
            use_case=dataset.use_case,
            kind="examples_in_hand",
            value=version.n_rows,
            source=f"dataset “{dataset.name}” version {version.number}",
            actor=version.created_by,
        )
    return version


def fail_version(*, version: DatasetVersion, error: str) -> None:
    """A version that was not frozen, with its reason; its rows go."""
    with transaction.atomic():
        DatasetVersion.objects.filter(pk=version.pk, state=VersionState.BUILDING).update(
            state=VersionState.FAILED, error=error[:1000]
        )
    version.refresh_from_db()
    if version.state == VersionState.FAILED:
        clear_rows(version)


def _review_summary(dataset: Dataset) -> dict[str, Any]:
    review = Review.objects.planned().filter(dataset=dataset).order_by("-id").first()
    if review is None:
        return {"n_total": 0, "n_done": 0}
    names = review.items.exclude(verdict="").values_list("reviewer_name", flat=True).distinct()[:20]
    return {
        "n_total": review.n_total,
        "n_done": review.n_done,
        "n_accepted": review.n_accepted,
        "n_edited": review.n_edited,
        "n_rejected": review.n_rejected,
        "reviewers": sorted(set(names)),
    }


def _quality_summary(dataset: Dataset) -> dict[str, Any]:
    run = standing_judging(dataset)
    if run is None:
        return {}
    return {
        "sample_size": run.n_sample,
        "n_scored": run.n_scored,
        "average": run.average,
        "low": run.low,
        "high": run.high,
        "model": run.model,
    }


def annotate(
    *, actor: User | None, version: DatasetVersion, notes: str, tags: list[str] | None = None
) -> DatasetVersion:
    """Notes and tags are the only parts of a frozen version that may change."""
    changes: dict[str, Any] = {"notes": notes.strip()[:10_000]}
    if tags is not None:
        changes["tags"] = sorted({tag.strip()[:40] for tag in tags if tag.strip()})[:20]
    with transaction.atomic():
        DatasetVersion.objects.filter(pk=version.pk).update(**changes)
        audit.record(
            actor=actor,
            team=version.dataset.team,
            verb="version.annotated",
            target=version,
            fields=list(changes),
        )
    version.refresh_from_db()
    return version


# --- taking out --------------------------------------------------------------------------------------------------


def open_test_rows(*, actor: User, version: DatasetVersion, reason: str) -> Look:
    """The recorded look at the sealed test rows. Raises BadInput without a reason."""
    check_can_use(version)
    reason = reason.strip()
    if len(reason) < MIN_REASON:
        raise BadInput(
            f"Say why, in {MIN_REASON} characters or more: each look wears out the test.", field="reason"
        )
    with transaction.atomic():
        # A double click is one look: the second one waits here and finds it.
        DatasetVersion.objects.select_for_update().get(pk=version.pk)
        looks = Look.objects.filter(version=version, by=actor, kind=LookKind.ROWS, reason=reason[:2000])
        return looks.first() or count_look(actor=actor, version=version, kind=LookKind.ROWS, reason=reason)


def count_look(
    *,
    actor: User | None,
    version: DatasetVersion,
    kind: LookKind,
    reason: str,
    subject: str = "",
    through: Look | None = None,
) -> Look:
    """One more look at the test of a version. Inside the caller's transaction.

    The test of a mix is its members' tests: a look at it is one at each of them. The other way, `vault.wear_of` counts
    a look at a member for every mix of it, and one at an earlier version for the later ones that ask its rows again.
    """
    look = Look.objects.create(
        team_id=version.team_id,
        version=version,
        by=actor,
        kind=kind,
        reason=reason.strip()[:2000],
        subject=subject[:300],
        through=through,
    )
    verb = "version.test_opened" if kind == LookKind.ROWS else "version.test_looked_at"
    audit.record(actor=actor, team=version.team, verb=verb, target=version, note=str(kind))
    mixed = [task["version"] for task in (version.recipe or {}).get("mix", {}).get("tasks", ())]
    for member in DatasetVersion.objects.filter(pk__in=mixed, team_id=version.team_id).order_by("pk"):
        count_look(
            actor=actor,
            version=member,
            kind=kind,
            reason=reason,
            subject=f"{subject}, mixed in {version.dataset.name}".removeprefix(", "),
            through=through or look,
        )
    return look


def has_looked(*, actor: User, version: DatasetVersion) -> bool:
    """Whether this person has opened the test rows of this version, with a reason."""
    return Look.objects.filter(version=version, by=actor, kind=LookKind.ROWS).exists()
