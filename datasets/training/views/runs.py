"""Pages of training: find, ask, call a service, render."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from datasets.domain.crossvalidation import Offer
from datasets.domain.statuses import VersionState
from datasets.domain.training import RunState
from datasets.models import CrossValidation, DatasetVersion, TrainingRun
from datasets.training import crossvalidating as folding
from datasets.training import services
from datasets.training.contract import Backend, backends_for, get_backend
from datasets.training.forms import SettingsForm
from datasets.training.presenting import TONES, decimal, title_of
from decisions.models import UseCase
from foundation.teams.errors import BadInput, PortalError
from foundation.teams.presses import once
from foundation.ui.charts import Bar, Bars, Lines, Point, Series, bars_with_intervals, line_with_band
from foundation.ui.formats import duration, grouped, percent, points, usd
from foundation.ui.htmx import redirect, render_page, toast

PAGE_SIZE = 50
MOST_FOLDED = 20
# Of the version a list shows its number; its report may be megabytes.
UNREAD = ("version__report", "version__stats")


def run_list(request: HttpRequest, use_case: UseCase) -> HttpResponse:
    """The training runs of one use case, newest first."""
    before = decimal(request.GET.get("after"))
    runs = TrainingRun.objects.filter(use_case=use_case).select_related("version__dataset", "job")
    runs = runs.defer(*UNREAD)
    if before:
        runs = runs.filter(pk__lt=before)
    page = list(runs.order_by("-pk")[: PAGE_SIZE + 1])
    version = (
        DatasetVersion.objects.filter(dataset__use_case=use_case, state=VersionState.FROZEN)
        .select_related("dataset")
        .order_by("-pk")
        .first()
    )
    context = {
        "use_case": use_case,
        "rows": [_row(run) for run in page[:PAGE_SIZE]],
        "folded": [] if before else _folded(use_case),
        "offer": _offer(version) if version and not before else None,
        "next": page[PAGE_SIZE - 1].pk if len(page) > PAGE_SIZE else None,
        "version": version,
        "lineage": [
            (f"Use case: {use_case.name}", reverse("decisions:use-case-detail", args=[use_case.pk])),
            ("Training", "", True),
        ],
    }
    return render_page(request, "training/run_list.html", None, context)


def _offer(version: DatasetVersion) -> Offer | None:
    """Cross-validation, while it is worth offering on this version and was not done on it."""
    found = folding.offer_for(version)
    if found is None or not found.is_advised or version.cross_validations.exists():
        return None
    return found


def _row(run: TrainingRun) -> dict[str, Any]:
    score = run.metrics.get("validation") or {}
    train = run.metrics.get("train") or {}
    return {
        "run": run,
        "backend": title_of(run.backend),
        "tone": TONES[RunState(run.state)],
        "score": score,
        "train": train,
        "level": run.metrics.get("level", ""),
        "gap": run.metrics.get("gap"),
    }


def _folded(use_case: UseCase) -> list[dict[str, Any]]:
    found = CrossValidation.objects.filter(use_case=use_case).select_related("version__dataset")
    found = found.defer(*UNREAD)
    return [
        {
            "found": one,
            "backend": title_of(one.backend),
            "tone": TONES[RunState(one.state)],
            "score": one.metrics,
        }
        for one in found.order_by("-pk")[:MOST_FOLDED]
    ]


def run_new(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    """The form of a new run, and its start."""
    choices = backends_for(services.task_of(version))
    name = request.POST.get("backend") or request.GET.get("backend") or choices[0].name
    backend = next((b for b in choices if b.name == name), choices[0])
    form = SettingsForm(request.POST if request.method == "POST" else None, backend=backend)
    if request.method == "POST" and form.is_valid():
        told: dict[str, Any] = {
            "actor": request.user,
            "version": version,
            "backend": backend.name,
            "settings": form.given(),
            "seed": form.cleaned_data.get("seed") or 0,
        }
        pressed: dict[str, Any] = {"user": request.user, "press": form.cleaned_data["press"]}
        over = request.POST.get("over")
        try:
            if over in ("folds", "folds-final"):
                found, _ = once(
                    **pressed,
                    purpose=f"cross-validation.{version.pk}",
                    model=CrossValidation,
                    make=lambda: folding.start_cross_validation(**told, trains_final=over == "folds-final"),
                )
                return redirect(request, "training:cross-validation-detail", found.pk)
            run, _ = once(
                **pressed,
                purpose=f"training.{version.pk}",
                model=TrainingRun,
                make=lambda: services.start_training(**told),
            )
            return redirect(request, "training:run-detail", run.pk)
        except BadInput as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        except PortalError as error:
            form.add_error(None, str(error))
    return render_page(
        request,
        "training/run_form.html",
        None,
        _form_context(version, choices, backend, form),
        status=422 if form.is_bound else 200,
    )


def _form_context(
    version: DatasetVersion, choices: list[Backend], backend: Backend, form: SettingsForm
) -> dict[str, Any]:
    use_case = version.dataset.use_case
    sizes = services.sizes_of(version)
    offer = folding.offer_for(version)
    folds = None
    if offer and offer.has_folds and not backend.unavailable:
        folds = folding.estimate(version, backend, backend.defaults())
    return {
        "offer": offer,
        "folds_estimate": folds,
        "use_case": use_case,
        "version": version,
        "backends": choices,
        "backend": backend,
        "form": form,
        "estimate": services.estimate(version, backend, backend.defaults()),
        "sizes": sizes,
        "lineage": [
            (f"Use case: {use_case.name}", reverse("decisions:use-case-detail", args=[use_case.pk])),
            (
                f"Dataset: {version.dataset.name}",
                reverse("datasets:dataset-detail", args=[version.dataset_id]),
            ),
            (f"Version {version.number}", reverse("datasets:version-detail", args=[version.pk])),
            ("New run", "", True),
        ],
    }


def run_detail(request: HttpRequest, run: TrainingRun) -> HttpResponse:
    """One run: progress while it goes on, then its scores, its curve and what it was told."""
    backend = get_backend(run.backend)
    metrics = run.metrics
    validation, train = metrics.get("validation") or {}, metrics.get("train") or {}
    context = {
        "run": run,
        "use_case": run.use_case,
        "backend": backend,
        "tone": TONES[RunState(run.state)],
        "metrics": metrics,
        "validation": validation,
        "train": train,
        "facts": _facts(run, validation, train),
        "settings": [*backend.shown(run.settings), ("Seed", str(run.seed))],
        "chosen": _chosen(metrics),
        "trials": metrics.get("trials") or [],
        "trials_note": "a fifth of its rows decides" if run.cross_validation_id else "validation rows decide",
        "curve": _curve(metrics),
        "scores_chart": "" if run.cross_validation_id else _scores(metrics, train, validation),
        "is_done": run.state == RunState.SUCCEEDED,
        "can_retry": run.state == RunState.FAILED,
        "lineage": [
            (f"Use case: {run.use_case.name}", reverse("decisions:use-case-detail", args=[run.use_case_id])),
            (
                f"Dataset: {run.version.dataset.name}",
                reverse("datasets:dataset-detail", args=[run.version.dataset_id]),
            ),
            (f"Version {run.version.number}", reverse("datasets:version-detail", args=[run.version_id])),
            (f"Run {run.number}", "", True),
        ],
    }
    return render_page(request, "training/run_detail.html", None, context)


def _facts(run: TrainingRun, validation: dict[str, Any], train: dict[str, Any]) -> list[tuple[str, ...]]:
    if run.state != RunState.SUCCEEDED:
        return []
    found: list[tuple[str, ...]] = [
        ("on validation rows", "not judged", "the version has none")
        if not validation.get("n")
        else (
            "expected, over folds" if run.cross_validation_id else "on validation rows",
            percent(validation.get("accuracy"), 1),
            f"{percent(validation.get('low'), 1)} to {percent(validation.get('high'), 1)}, "
            f"n = {grouped(validation.get('n', 0))}",
        ),
    ]
    if train:
        found.append(
            (
                "on its own training rows",
                percent(train.get("accuracy"), 1),
                f"n = {grouped(train.get('n', 0))}",
            )
        )
    if validation.get("macro_f1") is not None:
        found.append(
            (
                "macro F1, over folds" if run.cross_validation_id else "macro F1, validation",
                grouped(validation["macro_f1"], 3),
                "every label counts the same",
            )
        )
    found.append(("to train", duration(run.seconds), "on this machine"))
    cost = "free: your own machine" if not run.cost_microusd else "machine time"
    found.append(("cost", usd(run.cost_microusd), cost))
    return found


def _chosen(metrics: dict[str, Any]) -> str:
    chosen = metrics.get("chosen") or {}
    if not chosen:
        return ""
    weighting = (
        "rare labels count for more"
        if chosen.get("class_weighting") == "balanced"
        else "all rows count alike"
    )
    return f"C = {chosen['c']:g}, {weighting}; chosen by {metrics.get('chosen_by', 'validation rows')}"


def _scores(metrics: dict[str, Any], train: dict[str, Any], validation: dict[str, Any]) -> Any:
    if not train or not validation.get("n"):
        return ""
    gap = metrics.get("gap") or 0.0
    return bars_with_intervals(
        Bars(
            title=f"{abs(gap) * 100:.1f} points between rows it learnt from and rows it had not seen",
            bars=[
                Bar("Training rows", train["accuracy"], train["low"], train["high"], "mute"),
                Bar(
                    "Validation rows",
                    validation["accuracy"],
                    validation["low"],
                    validation["high"],
                    metrics.get("level", ""),
                ),
            ],
            unit="percent",
            sub="Share of right answers with 95% intervals (Wilson)",
        )
    )


def _curve(metrics: dict[str, Any]) -> Any:
    curve = metrics.get("curve") or []
    if len(curve) < 2:
        return ""
    first, last = curve[-2], curve[-1]
    gained = (last["validation"] or 0) - (first["validation"] or 0)
    if last["validation"] is None:
        return ""
    word = "Still climbing: more rows would help" if gained > 0.01 else "Level: more rows alone help little"
    return line_with_band(
        Lines(
            title=f"{word} ({points(gained)} from {grouped(first['n'])} to {grouped(last['n'])} rows)",
            series=[
                Series(
                    "Validation rows",
                    [Point(p["n"], p["validation"], p["low"], p["high"]) for p in curve],
                ),
                Series("Training rows", [Point(p["n"], p["train"]) for p in curve], tone="mute", dashed=True),
            ],
            unit="percent",
            x_name="training rows",
            sub="Learning curve with the chosen settings; the band is a 95% interval",
        )
    )


def run_retry(request: HttpRequest, run: TrainingRun) -> HttpResponse:
    """Try a failed run again."""
    if request.method == "POST":
        services.retry(actor=request.user, run=run)
        toast(request, f"Run {run.number} is tried again.")
    return redirect(request, "training:run-detail", run.pk)
