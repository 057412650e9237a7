"""From a raw file to a version in service: every stage of the lifecycle, through the same services people use.

A stage is asked again and again until it is done, so it may be asked twice at any point: whatever it starts is
found again by what it wrote down. Knows no page and no command.
"""

from __future__ import annotations

from datasets import importing
from datasets.domain.crossvalidation import MOST_ROWS
from datasets.domain.mapping import guess_mapping
from datasets.domain.rules import RULES
from datasets.domain.splitting import Ratios
from datasets.models import (
    CheckRun,
    CrossValidation,
    Dataset,
    DatasetVersion,
    Import,
    QualityRun,
    Review,
    TrainingRun,
)
from datasets.services import checks, gating, imports, judging, queueing, reviewing, versions
from datasets.training import services as training
from datasets.training.crossvalidating import start_cross_validation
from decisions import services as decisions
from decisions.models import UseCase
from evaluations import services as evaluations
from evaluations.models import Comparison
from foundation.files.models import Blob
from foundation.llm.connections import default_connection
from foundation.ui import formats
from ftportal.course import Course, Found, Step, Stuck, Waiting, state_of
from ftportal.shipping import SHIP_AND_WATCH

# Fixes a careful person would press without looking at each row; the rest is left for people to see.
SAFE_FIXES = (
    "exact_duplicate",
    "loose_duplicate",
    "near_duplicate",
    "conflict",
    "pii",
    "encoding",
    "hidden_characters",
    "too_short",
    "empty_answer",
)
ROUNDS_OF_MENDING = 3
# Small rows in great number: the cheapest current model is the fair opponent. Another one is a recipe's "model".
PROMPT_MODEL = "claude-haiku-5-5"
TRIAL_REASON = "A trial run: nobody has reviewed these rows, so its verdict is provisional."


def state_use_case(course: Course) -> Found | Waiting:
    """The use case this file is for; its task follows from what the columns look like."""
    blob = Blob.objects.of(course.team).get(pk=course.recipe["blob"])
    layout = importing.layout_of(blob)
    mapping = guess_mapping(importing.sample_records(blob, layout), layout.columns)
    is_labelled = bool(course.recipe.get("label") or mapping.label)
    facts = {"task_kind": "classify" if is_labelled else "answer", **course.recipe.get("facts", {})}
    name = course.recipe["name"]
    use_case = UseCase.objects.of(course.team).active().filter(name=name).first()
    if use_case is None:
        use_case = decisions.create_use_case(actor=course.actor, team=course.team, name=name, **facts)
    kind = "sorts each text under a label" if use_case.task_kind == "classify" else "answers each text"
    return Found(
        f"“{use_case.name}” {kind}; recognised {layout.format.upper()} in {layout.encoding}.",
        {"use_case": use_case.pk},
    )


def decide(course: Course) -> Found | Waiting:
    """The recommended approach, with its margin."""
    decision = decisions.decide(
        actor=course.actor, use_case=course.row(UseCase, "use_case"), note=course.recipe.get("note", "")
    )
    return Found(f"{decision.headline}.", {"decision": decision.pk})


def price(course: Course) -> Found | Waiting:
    """What switching would return under the standing assumptions."""
    roi = decisions.analyse_roi(
        actor=course.actor, use_case=course.row(UseCase, "use_case"), **course.recipe.get("assumptions", {})
    )
    return Found(f"{roi.headline}.", {"roi": roi.pk})


def bring_in(course: Course) -> Found | Waiting:
    """The rows of the file, or the bad rows by name."""
    use_case = course.row(UseCase, "use_case")
    name = course.recipe.get("dataset") or course.recipe["name"]
    dataset = Dataset.objects.of(course.team).filter(use_case=use_case, name=name).first()
    if dataset is None:
        dataset = imports.create_dataset(actor=course.actor, team=course.team, use_case=use_case, name=name)
    blob = Blob.objects.of(course.team).get(pk=course.recipe["blob"])
    import_ = Import.objects.filter(dataset=dataset, blob=blob).order_by("-id").first()
    if import_ is None:
        import_ = imports.stage_upload(
            actor=course.actor, dataset=dataset, blob=blob, name=course.recipe["file"]
        )
        wanted = {k: course.recipe[k] for k in ("label", "group", "at") if course.recipe.get(k)}
        if course.recipe.get("text"):
            wanted["prompt"] = course.recipe["text"]
        if wanted:
            imports.set_mapping(actor=course.actor, import_=import_, mapping={**import_.mapping, **wanted})
    if import_.state in ("draft", "running"):
        job = imports.start_import(actor=course.actor, import_=import_, skip_bad_rows=True)
        if waiting := state_of(job, "Reading the file"):
            return waiting
        import_.refresh_from_db()
    if import_.state != "done":
        raise Stuck(f"The file could not be imported: {import_.error}")
    left_out = import_.n_bad + import_.n_blank
    words = f"{import_.n_good:,} rows in"
    if left_out:
        words += f", {left_out:,} left out ({import_.n_bad:,} broken, {import_.n_blank:,} blank), each named with its line"
    return Found(f"{words}.", {"dataset": dataset.pk, "import": import_.pk})


def _checked(course: Course, dataset: Dataset) -> CheckRun | Waiting:
    """The report on the rows as they are now."""
    dataset.refresh_from_db()
    if dataset.checks is None or dataset.checks.revision != dataset.revision:
        job = checks.start_checks(actor=course.actor, dataset=dataset)
        if waiting := state_of(job, "Checking every row"):
            return waiting
        dataset.refresh_from_db()
    return dataset.checks or Waiting("Checking every row")


def check(course: Course) -> Found | Waiting:
    """What is wrong with the rows, counted."""
    dataset = course.row(Dataset, "dataset")
    run = _checked(course, dataset)
    if isinstance(run, Waiting):
        return run
    found = [f"{RULES[f.rule].title.lower()} {f.n_rows:,}" for f in checks.open_findings(dataset)]
    return Found(("Found: " + ", ".join(found) if found else "Nothing to mend") + ".")


def mend(course: Course) -> Found | Waiting:
    """The safe fixes pressed, the rows checked once more."""
    dataset = course.row(Dataset, "dataset")
    dataset.refresh_from_db()
    before = dataset.n_active
    findings = {f.rule: f for f in checks.open_findings(dataset)} if dataset.checks_id else {}
    todo = [findings[rule] for rule in SAFE_FIXES if rule in findings and findings[rule].n_fixable]
    # A repair can bring new duplicates to light; what a third round still finds is left for people.
    if dataset.check_runs.exclude(finished_at=None).count() <= ROUNDS_OF_MENDING:
        for finding in todo:
            fix = checks.apply_fix(actor=course.actor, finding=finding)
            if finding.rule == "conflict" and not fix.n_rows:
                # One question with two answers, neither given more often, teaches neither: both go.
                checks.apply_fix(actor=course.actor, finding=finding, action="drop")
    run = _checked(course, dataset)
    if isinstance(run, Waiting):
        return run
    dataset.refresh_from_db()
    imported = Import.objects.get(pk=course.facts["import"]).n_good
    left = [f"{RULES[f.rule].title.lower()} {f.n_rows:,}" for f in checks.open_findings(dataset)]
    words = f"{max(before, imported) - dataset.n_active:,} rows dropped, {dataset.n_active:,} kept"
    return Found(
        f"{words}; left for people: {', '.join(left) if left else 'nothing'}.", {"n_active": dataset.n_active}
    )


def judge(course: Course) -> Found | Waiting:
    """A model's view of a sample, where one is connected and may spend; never a score without one."""
    dataset = course.row(Dataset, "dataset")
    cap = course.recipe.get("cap_microusd")
    if not cap:
        return Found("No model may spend here: findings are counted, no quality score is given.")
    if default_connection(course.team) is None:
        return Found("No model is connected: findings are counted, no quality score is given.")
    # The one at the gate; one that waits or was cut short goes on where there is none.
    run = (
        gating.standing_judging(dataset) or QualityRun.objects.filter(dataset=dataset).order_by("-id").first()
    )
    if run is None:
        run = judging.start_quality(actor=course.actor, dataset=dataset, cap_microusd=cap)
    if run.finished_at is None:
        if waiting := state_of(run.job, "Asking the judge"):
            return waiting
        run.refresh_from_db()
    unscored = run.n_sample - run.n_answered
    if run.average is None:
        return Found(f"None of {run.n_sample} rows could be scored; each says why.", {"quality": run.pk})
    return Found(
        f"{run.model} gives {run.n_scored} of {run.n_sample} sampled rows {run.average:.2f} on average "
        f"({run.low or 0:.2f} to {run.high or 0:.2f}); {unscored} unscored.",
        {"quality": run.pk},
    )


def review(course: Course) -> Found | Waiting:
    """The 10 % sample people look at; in the demo accepted by a reviewer who is named so."""
    dataset = course.row(Dataset, "dataset")
    queue = queueing.plan_review(actor=course.actor, dataset=dataset)
    reviewer = course.recipe.get("reviewer", "")
    if reviewer and not queue.is_finished:
        reviewing.accept_all(actor=course.actor, review=queue, reviewer=reviewer)
        queue = Review.objects.get(pk=queue.pk)
    if queue.is_finished:
        return Found(
            f"{queue.n_total:,} of {dataset.n_active:,} rows looked at by {reviewer or 'people'}.",
            {"review": queue.pk},
        )
    return Found(
        f"{queue.n_total:,} rows wait for a person; the trial goes on without.", {"review": queue.pk}
    )


def freeze(course: Course) -> Found | Waiting:
    """The frozen, split version with its checksum."""
    dataset = course.row(Dataset, "dataset")
    version = (
        DatasetVersion.objects.filter(dataset=dataset).exclude(state="failed").order_by("-number").first()
    )
    if version is None:
        standing = versions.blockers(dataset)
        version = versions.start_freeze(
            actor=course.actor,
            dataset=dataset,
            seed=course.recipe.get("seed", ""),
            n_folds=versions.allowed_folds(dataset, Ratios(), course.recipe.get("n_folds", 0)),
            override_reason=TRIAL_REASON if standing else "",
        )
    if not version.is_frozen:
        if waiting := state_of(version.job, "Splitting and freezing"):
            return waiting
        version.refresh_from_db()
    power = version.report.get("power", {}).get("sentence", "")
    return Found(
        f"Version {version.number}: {version.n_train:,} train, {version.n_validation:,} validation, {version.n_test:,} test; "
        f"checksum {version.checksum[:12]}. {power}".strip(),
        {"version": version.pk},
    )


def train(course: Course) -> Found | Waiting:
    """A local model, with its training and validation scores."""
    version = course.row(DatasetVersion, "version")
    run = (
        TrainingRun.objects.filter(version=version, cross_validation=None)
        .exclude(state__in=["failed", "cancelled"])
        .order_by("-id")
        .first()
    )
    if run is None:
        run = training.start_training(actor=course.actor, version=version)
    if waiting := state_of(run.job, "Training"):
        return waiting
    run.refresh_from_db()
    words = f"{run.name} in {formats.duration(run.seconds or 0)}: {run.metrics.get('sentence', '')}"
    if not course.recipe.get("cross_validate"):
        return Found(words, {"run": run.pk})
    if (n_rows := version.n_train + version.n_validation) > MOST_ROWS:
        words += f" Not cross-validated: {n_rows:,} rows are more than {MOST_ROWS:,}; validation judges well enough."
        return Found(words, {"run": run.pk})
    folded = _cross_validated(course, run)
    if isinstance(folded, Waiting):
        return folded
    found = folded.metrics
    words += (
        f" Over {folded.n_folds} folds {found['accuracy']:.1%} right ({found['low']:.1%} to {found['high']:.1%}), "
        f"{found['n']:,} rows."
    )
    return Found(words, {"run": run.pk, "cross_validation": folded.pk})


def _cross_validated(course: Course, run: TrainingRun) -> CrossValidation | Waiting:
    """The configuration of the run over the folds of its version."""
    known = CrossValidation.objects.filter(version=run.version_id, backend=run.backend, seed=run.seed)
    # No fold draws a learning curve, so none is on the record.
    wanted = {**run.settings, "learning_curve": False}
    found = next(
        (
            one
            for one in known.exclude(state__in=["failed", "cancelled"]).order_by("-id")
            if {**one.settings, "learning_curve": False} == wanted
        ),
        None,
    )
    if found is None:
        found = start_cross_validation(
            actor=course.actor, version=run.version, backend=run.backend, settings=run.settings, seed=run.seed
        )
    if waiting := state_of(found.job, "Judging fold by fold"):
        return waiting
    found.refresh_from_db()
    return found


def _compared(comparison: Comparison, doing: str) -> Waiting | None:
    comparison.refresh_from_db()
    if comparison.state == "waiting":
        jobs = [e.job for e in comparison.evaluations.select_related("job")]
        for job in jobs:
            if waiting := state_of(job, doing):
                return waiting
        return Waiting(doing)
    if comparison.state != "done":
        raise Stuck(f"The comparison failed: {comparison.error}")
    return None


def choose(course: Course) -> Found | Waiting:
    """Every candidate on the validation rows."""
    version = course.row(DatasetVersion, "version")
    comparison = (
        Comparison.objects.of(course.team)
        .filter(version=version, is_claim=False)
        .exclude(state="failed")
        .order_by("id")
        .first()
    )
    if comparison is None:
        use_case = version.dataset.use_case
        candidates = evaluations.ensure_baselines(actor=course.actor, use_case=use_case, version=version)
        cap = course.recipe.get("cap_microusd")
        judge = None
        if cap and (connection := default_connection(course.team)):
            candidates.append(
                evaluations.create_candidate(
                    actor=course.actor,
                    use_case=use_case,
                    name="Claude with a prompt and examples",
                    model=course.recipe.get("model") or PROMPT_MODEL,
                    connection=connection,
                    system=evaluations.default_system(use_case),
                    few_shot_version=version,
                    n_few_shot=2 * max(3, len(version.labels)),
                )
            )
            judge = evaluations.default_judge(course.team) if course.recipe.get("judge") else None
        comparison = evaluations.start_evaluations(
            actor=course.actor, version=version, candidates=candidates, cap_microusd=cap, judge=judge
        )
    if waiting := _compared(comparison, "Answering the validation rows"):
        return waiting
    return Found(comparison.finding, {"comparison": comparison.pk})


def claim(course: Course) -> Found | Waiting:
    """The best candidate against the others on sealed test rows: a counted look."""
    version = course.row(DatasetVersion, "version")
    comparison = (
        Comparison.objects.of(course.team)
        .filter(version=version, is_claim=True)
        .exclude(state="failed")
        .order_by("id")
        .first()
    )
    if comparison is None:
        best = [found.candidate for found in evaluations.best_candidates(version=version)]
        comparison = evaluations.start_claim(
            actor=course.actor,
            version=version,
            candidates=best,
            cap_microusd=course.recipe.get("cap_microusd"),
            reason=course.recipe.get("reason") or "The first claim of this version.",
        )
    if waiting := _compared(comparison, "Answering the sealed test rows"):
        return waiting
    return Found(comparison.finding, {"claim": comparison.pk, "verdict": comparison.verdict})


def reprice(course: Course) -> Found | Waiting:
    """The return once more, with the measured improvement."""
    use_case = UseCase.objects.with_answers().get(pk=course.facts["use_case"])
    roi = decisions.analyse_roi(actor=course.actor, use_case=use_case, **course.recipe.get("assumptions", {}))
    decision = decisions.decide(actor=course.actor, use_case=use_case, note="After the measurement.")
    measured = "with the measured gain" if roi.is_measured else "with the assumed gain"
    return Found(
        f"{roi.headline} ({measured}); {decision.headline}.", {"roi": roi.pk, "decision": decision.pk}
    )


STEPS = (
    Step("use-case", "Use case", state_use_case),
    Step("decision", "Decide", decide),
    Step("roi", "Return", price),
    Step("import", "Import", bring_in),
    Step("checks", "Check", check),
    Step("fixes", "Mend", mend),
    Step("quality", "Quality", judge),
    Step("review", "Review", review),
    Step("freeze", "Freeze", freeze),
    Step("train", "Train", train),
    Step("choose", "Evaluate", choose),
    Step("claim", "Compare", claim),
    Step("return", "Return again", reprice),
    *SHIP_AND_WATCH,
)
