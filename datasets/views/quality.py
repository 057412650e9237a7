"""Quality by a model: what it would cost, what it said, which rows are weak."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal

from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from datasets import policies, presenting, presenting_quality, services
from datasets.domain import quality
from datasets.forms import QualityForm
from datasets.models import Dataset, QualityRun
from datasets.services import judging
from datasets.vault import sealed_contents
from datasets.views.quoting import to_quote
from foundation.teams.errors import BadInput
from foundation.teams.presses import new_press, once
from foundation.ui import htmx

DOLLAR = Decimal(1_000_000)
SHOWN = 100


def quality_create(request: HttpRequest, dataset: Dataset) -> HttpResponse:
    """The quote for what is chosen in the address, then the press that pays for it."""
    if to := to_quote(request, "model", "how", "size", "in_batches"):
        return to
    models = judging.judge_models()
    asked = request.GET
    how = asked.get("how", "") if asked.get("how", "") in judging.HOWS else "sample"
    if how == "all" and dataset.n_active > judging.MOST_ROWS:
        how = "sample"
    wanted = asked.get("size", "")
    size = (
        int(wanted)
        if wanted.isdecimal() and 1 <= int(wanted[:6]) <= judging.MOST_ROWS
        else quality.MAX_SAMPLE
    )
    model = asked.get("model", "") if asked.get("model", "") in models else ""
    in_batches = asked.get("in_batches") == "on"
    is_later = judging.is_drawn_later(dataset)
    chosen = judging.sample(dataset, size=size, how=how) if dataset.n_active and not is_later else []
    n_sample = min(size, dataset.n_active) if is_later else len(chosen)

    def quote_of(model: str, in_batches: bool) -> judging.Quote | None:
        if is_later:
            return judging.estimate(dataset=dataset, size=size, model=model, in_batches=in_batches)
        return services.quote(dataset=dataset, example_ids=chosen, model=model, in_batches=in_batches)

    trouble = ""
    quoted = None
    if n_sample:
        try:
            quoted = quote_of(model, in_batches)
        except BadInput as error:
            trouble = str(error)
            in_batches = False
            quoted = quote_of(model, False)
    initial: dict[str, object] = {}
    if quoted:
        cap = (Decimal(quoted.bound_microusd) / DOLLAR).quantize(Decimal("0.01"), rounding=ROUND_UP)
        initial = {
            "model": quoted.model,
            "cap": cap,
            "size": n_sample,
            "how": how,
            "in_batches": in_batches,
        }
    form = QualityForm(
        request.POST or None, models=models, hows=judging.HOWS, most=judging.MOST_ROWS, initial=initial
    )
    status = 200
    if request.method == "POST":
        if form.is_valid():
            given = form.cleaned_data
            try:
                run, _ = once(
                    user=request.user,
                    press=given["press"],
                    purpose="quality",
                    model=QualityRun,
                    make=lambda: services.start_quality(
                        actor=request.user,
                        dataset=dataset,
                        model=given["model"],
                        size=given["size"],
                        how=given["how"],
                        in_batches=given["in_batches"],
                        cap_microusd=int(given["cap"] * DOLLAR),
                    ),
                )
                return htmx.redirect(request, "datasets:quality-detail", run.pk)
            except BadInput as error:
                form.refuse(error)
        status = 422
    context = {
        "dataset": dataset,
        "lineage": presenting.lineage(dataset),
        "form": form,
        "quote": quoted,
        "trouble": trouble,
        "how_words": judging.HOWS[how],
        "usual_tokens": quality.USUAL_TOKENS,
        "n_sample": n_sample,
        "dimensions": quality.DIMENSIONS,
    }
    return htmx.render_page(request, "datasets/quality_create.html", None, context, status=status)


def quality_detail(request: HttpRequest, run: QualityRun) -> HttpResponse:
    """Average with its interval, weak rows with their issues, unscored rows with their reasons."""
    judgements = run.judgements.select_related("example__content").order_by("overall", "position")
    scored = judgements.exclude(overall=None)
    summary = None
    spread: SafeString | str = ""
    dimensions: SafeString | str = ""
    if run.finished_at:
        believed = scored.filter(suspicious=False)
        values = list(believed.values_list("overall", flat=True))
        summary = quality.summarise(values, sample_size=run.n_sample)
        spread = presenting_quality.scores_chart(values)
        dimensions = presenting_quality.dimensions_chart(
            list(
                believed.order_by("position").values_list("scores", flat=True)[: presenting_quality.MOST_ROWS]
            )
        )
    weak = list(scored.filter(overall__lt=quality.GATE)[:SHOWN])
    unscored = list(
        run.judgements.filter(overall=None).exclude(unscored="").select_related("example")[:SHOWN]
    )
    suspicious = list(run.judgements.filter(suspicious=True).select_related("example__content")[:SHOWN])
    shown = [j.example.content_id for j in (*weak, *suspicious, *unscored)]
    sealed = sealed_contents(run.dataset, shown, user=request.user)
    for row in (*weak, *suspicious, *unscored):
        row.is_sealed = row.example.content_id in sealed
    context = {
        "run": run,
        "dataset": run.dataset,
        "is_labelled": run.dataset.use_case.task_kind == "classify",
        "lineage": presenting.lineage(run.dataset),
        "job": run.job,
        "n_sealed": run.job.recipe.get("left_out_sealed", 0) if run.job else 0,
        "summary": summary,
        "spread": spread,
        "dimensions": dimensions,
        "weak": weak,
        "unscored": unscored,
        "suspicious": suspicious,
        "gate": quality.GATE,
        "n_edited": sum(row.example.content_id != row.content_id for row in weak),
        "findings": services.open_findings(run.dataset) if summary and summary.passes is False else [],
        "quality": run,
        "press": new_press(),
        "can_change": policies.can_change(run.dataset),
    }
    return htmx.render_page(request, "datasets/quality_detail.html", None, context)


@require_POST
def quality_again(request: HttpRequest, run: QualityRun) -> HttpResponse:
    """Judge the same rows again: edited ones are asked about, the others keep their verdict and cost nothing."""
    new, _ = once(
        user=request.user,
        press=request.POST.get("press", "")[:64],
        purpose="quality-again",
        model=QualityRun,
        make=lambda: services.start_quality(
            actor=request.user,
            dataset=run.dataset,
            again=run,
            in_batches=request.POST.get("in_batches") == "on",
        ),
    )
    return htmx.redirect(request, "datasets:quality-detail", new.pk)
