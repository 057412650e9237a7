"""Pages of evaluating: find, ask, call a service, render."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from datasets.domain.statuses import VersionState
from datasets.models import DatasetVersion, TrainingRun
from datasets.training.contract import get_backend
from datasets.training.services import task_of
from datasets.vault import wear_of
from decisions.domain.facts import TaskKind
from decisions.models import UseCase
from evaluations import exporting, policies, presenting, services
from evaluations.closing import closer
from evaluations.domain import scoring
from evaluations.domain.statuses import ComparisonState, EvaluationState
from evaluations.forms import CandidateForm, EvaluateForm, ReasonForm
from evaluations.models import Candidate, Comparison, Evaluation, TestLook
from evaluations.presenting import lineage
from evaluations.services.candidates import offered_models
from foundation.llm.connections import has_connection
from foundation.llm.models import Connection
from foundation.teams.errors import BadInput, PortalError
from foundation.teams.models import Team
from foundation.ui.htmx import redirect, render_page, toast

PAGE_SIZE = 25


# -- lists -----------------------------------------------------------------------------------------------------


def home(request: HttpRequest, team: Team) -> HttpResponse:
    """The newest comparisons and evaluations of a team, over all use cases."""
    comparisons = Comparison.objects.of(team)
    evaluations = Evaluation.objects.of(team)
    return _list(request, comparisons, evaluations, use_case=None)


def evaluation_list(request: HttpRequest, use_case: UseCase) -> HttpResponse:
    """Comparisons, evaluations and candidates of one use case."""
    comparisons = Comparison.objects.filter(use_case=use_case)
    evaluations = Evaluation.objects.filter(use_case=use_case)
    return _list(request, comparisons, evaluations, use_case=use_case)


def _list(
    request: HttpRequest, comparisons: QuerySet, evaluations: QuerySet, *, use_case: UseCase | None
) -> HttpResponse:
    after = _number(request.GET.get("after"))
    shown = evaluations.filter(pk__lt=after) if after else evaluations
    page = list(
        shown.select_related("candidate", "version__dataset", "use_case").order_by("-pk")[: PAGE_SIZE + 1]
    )
    version = candidates = None
    if use_case is not None:
        version = _newest_version(use_case)
        candidates = list(Candidate.objects.current().filter(use_case=use_case).order_by("-pk")[:30])
    context = {
        "use_case": use_case,
        "version": version,
        "candidates": candidates,
        "comparisons": [
            presenting.comparison_row(c)
            for c in comparisons.select_related(
                "version__dataset", "use_case", "baseline__candidate"
            ).order_by("-pk")[:12]
        ]
        if not after
        else [],
        "rows": [presenting.evaluation_row(e) for e in page[:PAGE_SIZE]],
        "next": page[PAGE_SIZE - 1].pk if len(page) > PAGE_SIZE else None,
        "lineage": lineage(use_case, None, ("Evaluations", "", True)) if use_case else [],
    }
    return render_page(request, "evaluations/evaluation_list.html", None, context)


def _newest_version(use_case: UseCase) -> DatasetVersion | None:
    frozen = DatasetVersion.objects.filter(dataset__use_case=use_case, state=VersionState.FROZEN)
    return frozen.select_related("dataset").order_by("-pk").first()


# -- starting --------------------------------------------------------------------------------------------------


def evaluation_new(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    """The form that starts evaluations over one version; a paid one is quoted first and confirmed."""
    use_case = version.dataset.use_case
    offered = _offered(use_case, version, _asked_runs(request))
    wear = wear_of(version)
    form = EvaluateForm(
        request.POST if request.method == "POST" else None,
        candidates=[(value, label) for value, label, _ in offered],
        task=task_of(version).value,
        n_rows={"validation": version.n_validation, "test": version.n_test},
        is_worn=wear.is_worn,
        initial={
            "candidates": [value for value, _, is_usual in offered if is_usual],
            **_asked(request, use_case),
        },
    )
    quote = None
    if request.method == "POST" and form.is_valid():
        try:
            chosen = _resolve(request, use_case, version, form.cleaned_data["candidates"])
            judge = services.default_judge(version.team) if form.cleaned_data["judge"] else None
            if form.cleaned_data["judge"] and judge is None:
                raise BadInput("No model is connected that could judge.", field="judge")
            data = form.cleaned_data
            quote = services.quote(
                version=version,
                candidates=list(chosen.values()),
                split=data["split"],
                sample=data["sample"],
                judge=judge,
            )
            if request.POST.get("action") != "quote" and (not quote.n_calls or data["cap"] is not None):
                return _start(request, version, form, chosen, judge)
        except BadInput as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        except PortalError as error:
            form.add_error(None, str(error))
    context = {
        "use_case": use_case,
        "version": version,
        "form": form,
        "quote": quote,
        "n_claims": services.claims_of(version),
        "wear": wear,
        "is_connected": has_connection(version.team),
        "lineage": lineage(use_case, version, ("New evaluation", "", True)),
    }
    status = 422 if form.is_bound and form.errors else 200
    return render_page(request, "evaluations/evaluation_form.html", None, context, status=status)


def _asked_runs(request: HttpRequest) -> list[int]:
    return [n for n in map(_number, request.GET.getlist("run")) if n]


def _asked(request: HttpRequest, use_case: UseCase) -> dict[str, Any]:
    """What a link asked for: the claim form opens with test rows chosen, and with the candidates and runs it names."""
    if request.GET.get("split") != "test":
        return {}
    wanted = [f"candidate:{n}" for n in request.GET.getlist("candidate") if _number(n)]
    if runs := _asked_runs(request):
        known = Candidate.objects.current().filter(use_case=use_case, training_run__in=runs)
        made = dict(known.values_list("training_run", "pk"))
        wanted += [f"candidate:{made[run]}" if run in made else f"run:{run}" for run in runs]
    return {"split": "test", **({"candidates": wanted} if wanted else {})}


def _offered(
    use_case: UseCase, version: DatasetVersion, runs: Sequence[int] = ()
) -> list[tuple[str, str, bool]]:
    """What can be chosen: (value, label, chosen at first). Floors and runs need no row before they are used.

    `runs`: offered however old they are.
    """
    candidates = list(
        Candidate.objects.current().filter(use_case=use_case).select_related("version", "training_run")
    )
    found: list[tuple[str, str, bool]] = []
    known_kinds = {(c.kind, c.version_id) for c in candidates}
    known_runs = {c.training_run_id for c in candidates}
    if task_of(version) is TaskKind.CLASSIFY and ("majority", version.pk) not in known_kinds:
        found.append(("floor:majority", "Majority answer: always the most frequent label", True))
    if ("nearest", version.pk) not in known_kinds:
        found.append(("floor:nearest", "Nearest example: the answer of the most similar training row", True))
    trained = TrainingRun.objects.succeeded().filter(use_case=use_case).order_by("-number")
    newest = list(trained[:10])
    shown = {run.pk for run in newest}
    for run in [*newest, *(run for run in trained.filter(pk__in=runs) if run.pk not in shown)]:
        if run.pk not in known_runs:
            title = get_backend(run.backend).title
            told, usual = f"{title}, run {run.number}", run.version_id == version.pk
            if run.cross_validation_id is not None:
                told, usual = f"{told}, learnt from validation rows too: test rows only", False
            found.append((f"run:{run.pk}", told, usual))
    for c in sorted(candidates, key=lambda c: -c.pk)[:40]:
        usual = c.version_id == version.pk or c.kind == "prompt"
        told = f"{c.name} ({c.model_id})" if c.kind == "prompt" else c.name
        if c.version_id and c.version_id != version.pk and c.version is not None:
            told += f", learnt from version {c.version.number}"
        if c.training_run is not None and c.training_run.cross_validation_id is not None:
            told, usual = f"{told}, learnt from validation rows too: test rows only", False
        found.append((f"candidate:{c.pk}", told, usual))
    return found


def _resolve(
    request: HttpRequest, use_case: UseCase, version: DatasetVersion, values: list[str]
) -> dict[str, Candidate]:
    """Chosen values as candidates, made where they are missing."""
    made: dict[str, Candidate] = {}
    if any(not value.startswith("candidate:") for value in values):
        for c in services.ensure_baselines(actor=request.user, use_case=use_case, version=version):
            made[f"floor:{c.kind}" if c.training_run_id is None else f"run:{c.training_run_id}"] = c
        for value in values:
            kind, _, pk = value.partition(":")
            if kind == "run" and value not in made:
                run = (
                    TrainingRun.objects.succeeded()
                    .filter(use_case=use_case)
                    .select_related("use_case__team", "version", "artefact")
                    .get(pk=pk)
                )
                made[value] = services.candidate_for_run(actor=request.user, run=run)
    wanted = [value.partition(":")[2] for value in values if value.startswith("candidate:")]
    rows = Candidate.objects.filter(use_case=use_case, pk__in=wanted).select_related(
        "connection__team", "team"
    )
    made |= {f"candidate:{c.pk}": c for c in rows}
    return {value: made[value] for value in values if value in made}


def _start(
    request: HttpRequest,
    version: DatasetVersion,
    form: EvaluateForm,
    chosen: dict[str, Candidate],
    judge: Any,
) -> HttpResponse:
    data = form.cleaned_data
    base = chosen.get(data["baseline"])
    if data["baseline"] and base is None:
        raise BadInput("The baseline is not among the chosen candidates.", field="baseline")
    common: dict[str, Any] = {
        "actor": request.user,
        "version": version,
        "candidates": list(chosen.values()),
        "sample": data["sample"],
        "scorers": data["scorers"] or None,
        "judge": judge,
        "cap_microusd": form.cap_microusd(),
        "baseline": base,
        "margins": form.margins(),
    }
    if data["split"] == "test":
        found: Comparison | Evaluation = services.start_claim(
            reason=data["reason"], despite_wear=data.get("despite_wear", False), **common
        )
    else:
        found = services.start_evaluations(**common)
    if isinstance(found, Comparison):
        return redirect(request, "evaluations:comparison-detail", found.pk)
    return redirect(request, "evaluations:evaluation-detail", found.pk)


# -- one evaluation --------------------------------------------------------------------------------------------


def evaluation_detail(request: HttpRequest, evaluation: Evaluation) -> HttpResponse:
    """One evaluation: progress while it runs, then its finding, its figures and its rows."""
    is_done = evaluation.state == EvaluationState.DONE
    context: dict[str, Any] = {
        "evaluation": evaluation,
        "use_case": evaluation.use_case,
        "tone": presenting.EVALUATION_TONES[EvaluationState(evaluation.state)],
        "lineage": presenting.candidate_lineage(
            evaluation.candidate, evaluation.version, (f"Evaluation {evaluation.pk}", "", True)
        ),
        "is_done": is_done,
    }
    if is_done:
        context |= _result_rows(request, evaluation)
        if request.GET.get("part") != "rows":
            context |= presenting.evaluation_page(evaluation)
            context["others"] = _comparable(evaluation)
            context["comparisons"] = list(evaluation.comparisons.order_by("-pk")[:5])
            context["can_retry"] = (
                evaluation.n_unscored and evaluation.job is not None and evaluation.job.failed
            )
    return render_page(
        request, "evaluations/evaluation_detail.html", "evaluations/_result_rows.html", context
    )


def _result_rows(request: HttpRequest, evaluation: Evaluation) -> dict[str, Any]:
    if not policies.can_read_rows(request.user, evaluation):
        return {"is_closed": True, "reason_form": ReasonForm(), "page": None}
    show = request.GET.get("show", "")
    if show not in presenting.SHOWS:
        show = ""
    expected = request.GET.get("expected", "")[:200]
    predicted = request.GET.get("predicted")
    page = presenting.result_page(
        evaluation,
        show=show,
        expected=expected,
        predicted=predicted[:200] if predicted is not None else None,
        after=request.GET.get("after", ""),
        close=closer(request.user, evaluation),
    )
    right = (evaluation.aggregates.get("classification") or {}).get("right")
    wrong = evaluation.n_scored - right if right is not None else None
    return {
        "page": page,
        "show": show,
        "expected": expected,
        "predicted": predicted,
        "counts": {"right": right, "wrong": wrong, "unscored": evaluation.n_unscored},
        "is_binary": scoring.is_binary(evaluation.scorers[0]),
        "n_suspicious": evaluation.aggregates.get("n_suspicious", 0),
    }


def _comparable(evaluation: Evaluation) -> list[Evaluation]:
    """Finished evaluations over the same rows by other candidates, the newest of each."""
    seen: dict[int, Evaluation] = {}
    rows = Evaluation.objects.done().filter(version=evaluation.version, split=evaluation.split)
    for other in (
        rows.exclude(candidate=evaluation.candidate).select_related("candidate").order_by("-pk")[:60]
    ):
        if other.scorers[:1] == evaluation.scorers[:1]:
            seen.setdefault(other.candidate_id, other)
    return sorted(seen.values(), key=lambda e: -(e.score or 0.0))


def evaluation_retry(request: HttpRequest, evaluation: Evaluation) -> HttpResponse:
    """Run the rows that failed once more."""
    if request.method == "POST":
        services.retry_unscored(actor=request.user, evaluation=evaluation)
        toast(request, "The rows without an answer are asked again.")
    return redirect(request, "evaluations:evaluation-detail", evaluation.pk)


def evaluation_open(request: HttpRequest, evaluation: Evaluation) -> HttpResponse:
    """Open the sealed rows of an evaluation, with a reason."""
    return _open(request, evaluation, "evaluations:evaluation-detail")


def comparison_open(request: HttpRequest, comparison: Comparison) -> HttpResponse:
    """Open the sealed rows of a comparison, with a reason."""
    return _open(request, comparison, "evaluations:comparison-detail")


def _open(request: HttpRequest, thing: Any, to: str) -> HttpResponse:
    if request.method == "POST" and thing.is_sealed:
        services.open_rows(actor=request.user, thing=thing, reason=request.POST.get("reason", ""))
        toast(request, "The rows are open for you. The look is written down.", "live")
    return redirect(request, to, thing.pk)


# -- comparing -------------------------------------------------------------------------------------------------


def comparison_create(request: HttpRequest, evaluation: Evaluation) -> HttpResponse:
    """Compare an evaluation with others over the same rows."""
    if request.method != "POST":
        return redirect(request, "evaluations:evaluation-detail", evaluation.pk)
    wanted = [pk for pk in map(_number, request.POST.getlist("with")) if pk]
    others = list(
        Evaluation.objects.of(evaluation.team)
        .filter(pk__in=wanted)
        .select_related("candidate", "version", "team")
    )
    comparison = services.compare(actor=request.user, evaluations=[evaluation, *others])
    return redirect(request, "evaluations:comparison-detail", comparison.pk)


def comparison_detail(request: HttpRequest, comparison: Comparison) -> HttpResponse:
    """One comparison: its finding, its measures with their intervals, its rows with the worst change first."""
    evaluations = list(comparison.evaluations.select_related("candidate", "job").order_by("pk"))
    context: dict[str, Any] = {
        "comparison": comparison,
        "use_case": comparison.use_case,
        "evaluations": evaluations,
        "is_done": comparison.state == ComparisonState.DONE,
        "lineage": lineage(
            comparison.use_case,
            comparison.version,
            *_arms(evaluations),
            (f"Comparison {comparison.pk}", "", True),
        ),
    }
    if context["is_done"]:
        by_key = {e.pk: e for e in evaluations}
        chosen = _number(request.GET.get("candidate")) or comparison.result["finding"]["lead_key"]
        if chosen not in by_key or chosen == comparison.baseline_id:
            chosen = comparison.result["finding"]["lead_key"]
        context |= presenting.comparison_page(comparison, evaluations, chosen)
        context |= _pair_rows(request, comparison, by_key[comparison.baseline_id], by_key[chosen])
        if comparison.is_sealed:
            context["looks"] = list(
                TestLook.objects.filter(version=comparison.version).select_related("by", "comparison")[:8]
            )
        context["claim_url"] = (
            reverse("evaluations:evaluation-new", args=[comparison.version_id])
            + f"?split=test&candidate={by_key[chosen].candidate_id}&candidate={by_key[comparison.baseline_id].candidate_id}"
        )
    return render_page(request, "evaluations/comparison_detail.html", "evaluations/_pair_rows.html", context)


def _arms(evaluations: list[Evaluation]) -> list[tuple[str, str]]:
    return [
        (e.candidate.name, reverse("evaluations:evaluation-detail", args=[e.pk])) for e in evaluations[:4]
    ]


def _pair_rows(
    request: HttpRequest, comparison: Comparison, baseline: Evaluation, chosen: Evaluation
) -> dict[str, Any]:
    if not policies.can_read_rows(request.user, comparison):
        return {"is_closed": True, "reason_form": ReasonForm(), "page": None}
    show = request.GET.get("show", "worse")
    if show not in presenting.COMPARED:
        show = "worse"
    label = request.GET.get("label", "")[:200]
    after, close = request.GET.get("after", ""), closer(request.user, comparison)
    page = presenting.pair_page(baseline, chosen, show=show, label=label, after=after, close=close)
    return {
        "page": page,
        "show": show,
        "label": label,
        "chosen": chosen.pk,
        "chosen_name": chosen.candidate.name,
        "baseline_name": baseline.candidate.name,
    }


def comparison_export(request: HttpRequest, comparison: Comparison, form: str) -> HttpResponse:
    """A comparison as CSV (its rows) or JSON (everything); rows of sealed comparisons only once they are open."""
    if comparison.state != ComparisonState.DONE or form not in exporting.WRITERS:
        raise Http404("There is nothing to export here.")
    close = closer(request.user, comparison) if policies.can_read_rows(request.user, comparison) else None
    return exporting.WRITERS[form](comparison, close=close)


# -- candidates ------------------------------------------------------------------------------------------------


def candidate_new(request: HttpRequest, use_case: UseCase) -> HttpResponse:
    """The form of a model with a prompt."""
    connections, models = offered_models(use_case)
    versions = list(
        DatasetVersion.objects.filter(dataset__use_case=use_case, state=VersionState.FROZEN)
        .select_related("dataset")
        .order_by("-pk")[:20]
    )
    form = CandidateForm(
        request.POST if request.method == "POST" else None,
        connections=[(str(c.pk), c.name) for c in connections],
        models=[(m.model_id, m.display_name) for m in models],
        versions=[(str(v.pk), f"{v.dataset.name} version {v.number}") for v in versions],
        initial={"system": services.default_system(use_case), "name": "First prompt"},
    )
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            services.create_candidate(
                actor=request.user,
                use_case=use_case,
                name=data["name"],
                model=data["model"],
                connection=Connection.objects.of(use_case.team).get(pk=data["connection"]),
                system=data["system"],
                few_shot_version=next((v for v in versions if str(v.pk) == data["few_shot_version"]), None),
                n_few_shot=data["n_few_shot"] or 0,
                max_tokens=data["max_tokens"] or 512,
                effort=data["effort"],
            )
            toast(request, f"“{data['name']}” can be evaluated now.")
            if versions:
                return redirect(request, "evaluations:evaluation-new", versions[0].pk)
            return redirect(request, "evaluations:evaluation-list", use_case.pk)
        except BadInput as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        except PortalError as error:
            form.add_error("model", str(error))
    context = {
        "use_case": use_case,
        "form": form,
        "is_connected": bool(connections),
        "has_versions": bool(versions),
        "lineage": lineage(use_case, None, ("New candidate", "", True)),
    }
    status = 422 if form.is_bound and form.errors else 200
    return render_page(request, "evaluations/candidate_form.html", None, context, status=status)


def candidate_detail(request: HttpRequest, candidate: Candidate) -> HttpResponse:
    """One candidate: what it is told, and how it did."""
    if request.method == "POST":
        services.archive_candidate(actor=request.user, candidate=candidate)
        toast(request, "The candidate is archived. Its evaluations stay.")
        return redirect(request, "evaluations:evaluation-list", candidate.use_case_id)
    rows = (
        Evaluation.objects.filter(candidate=candidate)
        .select_related("candidate", "version__dataset", "use_case")
        .order_by("-pk")[:25]
    )
    context = {
        "candidate": candidate,
        "use_case": candidate.use_case,
        "version": candidate.version or _newest_version(candidate.use_case),
        "rows": [presenting.evaluation_row(e) for e in rows],
        "facts": _candidate_facts(candidate),
        "lineage": presenting.candidate_lineage(candidate, candidate.version)
        if candidate.version
        else lineage(candidate.use_case, None, (candidate.name, "", True)),
    }
    return render_page(request, "evaluations/candidate_detail.html", None, context)


def _candidate_facts(candidate: Candidate) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = [("Kind", candidate.kind_label)]
    if candidate.model_id:
        found.append(
            ("Model", candidate.model_id if not candidate.is_local else candidate.model_id[:18] + "…")
        )
    if candidate.connection is not None:
        found.append(("Connection", candidate.connection.name))
    if candidate.version is not None:
        found.append(("Learnt from", f"{candidate.version.dataset.name} version {candidate.version.number}"))
    found += [(name.replace("_", " ").capitalize(), value) for name, value in candidate.params.items()]
    found.append(("Fingerprint", candidate.digest[:16]))
    return found


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None
