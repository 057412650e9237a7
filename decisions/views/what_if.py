"""What if a fact were otherwise: answers while somebody types, and keeps nothing."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse
from django.urls import reverse

from decisions import policies, presenting, reading
from decisions.domain import flips, framework
from decisions.domain.tree import Answers
from decisions.forms_what_if import TYPED, WhatIfForm
from decisions.models import UseCase
from foundation.teams.requests import TeamRequest
from foundation.ui import htmx


def what_if(request: TeamRequest, use_case: UseCase) -> HttpResponse:
    """The facts to play with and what they lead to, beside the saved ones. Nothing is stored.

    A fragment with a wrong figure says so at the field and leaves the last good answer standing.
    """
    inputs = reading.inputs_of(use_case)
    form = WhatIfForm.of(request.GET, inputs)
    here = reverse("decisions:what-if", args=[use_case.pk])
    context: dict[str, Any] = {
        "use_case": use_case,
        "form": form,
        "typed": TYPED,
        "can_change": policies.can_change(use_case),
        "latest": use_case.latest_decision,
    }
    is_good = form.is_valid()
    if is_good:
        context |= _answered(use_case, form, inputs)
        query = urlencode(form.changed())
        context["take_over"] = f"{reverse('decisions:use-case-edit', args=[use_case.pk])}?{query}"
    elif not htmx.wants_fragment(request):
        # The page itself has no earlier good answer to leave standing: the saved facts are it.
        saved = WhatIfForm.of({}, inputs)
        saved.is_valid()
        context |= _answered(use_case, saved, inputs)
    response = htmx.render_page(
        request,
        "decisions/what_if.html",
        "decisions/_what_if_answer.html",
        context,
        status=200 if is_good else 422,
    )
    if htmx.wants_fragment(request):
        if is_good:
            response["HX-Replace-Url"] = f"{here}?{query}" if query else here
        else:
            # Only the words at the fields are swapped, out of band.
            response["HX-Reswap"] = "none"
    return response


def _answered(use_case: UseCase, form: WhatIfForm, inputs: dict[str, Any]) -> dict[str, Any]:
    saved = reading.report_of(inputs)
    facts, answers = form.facts(use_case.name), form.answers(inputs)
    rates = inputs["rates"]
    report = framework.decide(facts, answers, rates)
    found = flips.as_json(flips.find(facts, answers))
    return {
        "verdict": report.verdict,
        "rows": presenting.what_if_rows(saved, report),
        "changes": reading.changes_between(
            {**inputs, "answers": _plain(saved.answers)},
            {**inputs, "facts": facts.as_mapping(), "answers": _plain(answers)},
        ),
        "is_other": report.verdict.recommendation is not saved.verdict.recommendation,
        "saved_verdict": saved.verdict,
        "one_away": found["one_away"],
        "two_away": found["two_away"],
        "n_tried": found["n_tried"],
    }


def _plain(answers: Answers) -> dict[str, Any]:
    return {
        name: getattr(answers, name) for name in ("prompt_solves_it", "examples_in_hand", "expected_gain")
    }
