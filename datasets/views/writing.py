"""Examples written by a model for thin labels: what it would cost, the press that pays for it, what came of it."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse

from datasets import presenting
from datasets.domain.rules import THIN
from datasets.domain.writing import GIVEN_A_CALL, MOST_LABELS, MOST_ROWS_A_LABEL
from datasets.errors import NothingToDo
from datasets.forms import WriteForm
from datasets.models import Dataset
from datasets.policies import can_change
from datasets.services import writing
from datasets.services.judging import judge_models
from datasets.views.quoting import to_quote
from foundation.jobs.models import Job
from foundation.teams.errors import BadInput
from foundation.teams.presses import once
from foundation.ui import htmx

DOLLAR = Decimal(1_000_000)
USUAL_ROWS = 20


def _number(text: str, usual: int, most: int) -> int:
    return int(text) if text.isdecimal() and 1 <= int(text[:9]) <= most else usual


def write(request: HttpRequest, dataset: Dataset) -> HttpResponse:
    """The quote for what is chosen in the address, then the press that pays for it; below it what came of others."""
    if to := to_quote(request, "below", "was_below", "labels", "rows_a_label", "model", "seed"):
        return to
    asked, models = request.GET, judge_models()
    below = _number(asked.get("below", ""), THIN, 100_000)
    was_below = _number(asked.get("was_below", ""), below, 100_000)
    chosen = [name for name in asked.getlist("labels") if name in dataset.label_counts]
    if not chosen or was_below != below:
        chosen = writing.thin_labels(dataset, below=below)
    chosen = chosen[:MOST_LABELS]
    rows = _number(asked.get("rows_a_label", ""), USUAL_ROWS, MOST_ROWS_A_LABEL)
    seed = asked.get("seed", "").strip()[:60] or writing.default_seed(dataset)
    model = asked.get("model", "") if asked.get("model", "") in models else ""
    given: dict[str, Any] = {"labels": chosen, "rows_a_label": rows, "model": model, "seed": seed}
    quoted = writing.quote_writing(dataset=dataset, models=models, **given) if chosen and models else None
    is_connected = quoted is not None or bool(writing.connected(dataset))
    initial = {**given, "below": below, "model": model or (models[0] if models else "")}
    if quoted:
        cap = (Decimal(quoted.bound_microusd) / DOLLAR).quantize(Decimal("0.01"), rounding=ROUND_UP)
        initial |= {"model": quoted.model, "cap": cap}
    form = WriteForm(
        request.POST or None,
        labels=dataset.label_counts,
        models=models,
        most=MOST_ROWS_A_LABEL,
        initial=initial,
    )
    status = 200
    if request.method == "POST":
        if form.is_valid():
            wanted = form.cleaned_data
            try:
                once(
                    user=request.user,
                    press=wanted["press"],
                    purpose="write",
                    model=Job,
                    make=lambda: writing.start_writing(
                        actor=request.user,
                        dataset=dataset,
                        labels=wanted["labels"],
                        rows_a_label=wanted["rows_a_label"],
                        model=wanted["model"],
                        seed=wanted["seed"],
                        cap_microusd=int(wanted["cap"] * DOLLAR),
                    ),
                )
                return htmx.redirect(request, "datasets:write", dataset.pk)
            except BadInput as error:
                form.refuse(error)
            except NothingToDo as error:
                form.add_error(None, str(error))
        status = 422
    before = writing.written_before(dataset)
    imports = dataset.imports.in_bulk([job.result["import"] for job in before if job.result.get("import")])
    for job in before:
        job.import_ = imports.get(job.result.get("import", 0))
    n_written = writing.n_written(dataset)
    context = {
        "dataset": dataset,
        "lineage": presenting.lineage(dataset),
        "form": form,
        "quote": quoted,
        "is_connected": is_connected,
        "below": below,
        "has_labels": any(dataset.label_counts),
        "given_a_call": GIVEN_A_CALL,
        "before": [job for job in before if job.finished_at],
        "jobs": [job for job in before if not job.finished_at],
        "n_written": n_written,
        "share_written": n_written / max(1, dataset.n_active),
        "can_change": can_change(dataset),
    }
    return htmx.render_page(request, "datasets/write.html", None, context, status=status)
