"""Pages of model versions: the list with its aliases, one with its lineage, registering one, going back."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from decisions.models import UseCase
from deployments import services
from deployments.models import Alias, Endpoint, ModelVersion, Rollout
from deployments.policies import check_four_eyes
from evaluations.models import Candidate, Evaluation
from foundation.teams.errors import BadInput
from foundation.teams.models import Team
from foundation.ui import formats
from foundation.ui.htmx import redirect, toast

PAGE_SIZE = 50


def version_list(request: HttpRequest, team: Team) -> HttpResponse:
    """The team's model versions, newest first, with the names that point at them."""
    after = request.GET.get("after", "")
    found = ModelVersion.objects.of(team).for_pages().defer("vocabulary")
    if after.isdecimal() and len(after) < 19:
        found = found.filter(pk__lt=int(after))
    rows = list(found[: PAGE_SIZE + 1])
    aliases: dict[int, list[str]] = {}
    for name, version_id in Alias.objects.of(team).filter(version__in=rows).values_list("name", "version_id"):
        aliases.setdefault(version_id, []).append(name)
    return render(
        request,
        "deployments/version_list.html",
        {
            "rows": [(v, aliases.get(v.pk, [])) for v in rows[:PAGE_SIZE]],
            "next": rows[PAGE_SIZE - 1].pk if len(rows) > PAGE_SIZE else None,
            "candidates": _unregistered(team),
        },
    )


def _unregistered(team: Team) -> list[Candidate]:
    """Evaluated candidates that are no versions yet: the ones that won a comparison or were scored, newest first."""
    evaluated = Evaluation.objects.of(team).done().values("candidate_id")
    found = Candidate.objects.of(team).current().filter(pk__in=evaluated, model_versions=None)
    return list(found.select_related("use_case").order_by("-pk")[:20])


def version_detail(request: HttpRequest, version: ModelVersion) -> HttpResponse:
    """One version: where it comes from, how good it is, where it serves; words about it are edited here."""
    if request.method == "POST":
        services.edit_version(
            actor=request.user,
            version=version,
            notes=request.POST.get("notes", ""),
            tags=request.POST.get("tags", "").split(","),
        )
        toast(request, "Saved.")
        return redirect(request, "deployments:version-detail", version.pk)
    candidate = version.candidate
    steps = [(version.use_case.name, reverse("decisions:use-case-detail", args=[version.use_case_id]))]
    if candidate.version is not None:
        steps.append(
            (str(candidate.version), reverse("datasets:version-detail", args=[candidate.version_id]))
        )
    if candidate.training_run is not None:
        run = reverse("training:run-detail", args=[candidate.training_run_id])
        steps.append((str(candidate.training_run), run))
    best = version.best_evaluation
    if best:
        steps.append(("evaluation", reverse("evaluations:evaluation-detail", args=[best["id"]])))
    endpoints = (
        Endpoint.objects.of(version.team)
        .current()
        .filter(use_case_id=version.use_case_id)
        .select_related("baseline")
    )
    return render(
        request,
        "deployments/version_detail.html",
        {
            "version": version,
            "lineage": [
                *steps,
                (version.label, reverse("deployments:version-detail", args=[version.pk]), True),
            ],
            "best": best,
            "evaluations": version.performance.get("evaluations", []),
            "metadata": _facts(version.metadata),
            "aliases": list(
                Alias.objects.of(version.team).filter(version=version).values_list("name", flat=True)
            ),
            "has_previous": Alias.objects.of(version.team)
            .filter(use_case_id=version.use_case_id, name="previous")
            .exists(),
            "followers": list(version.followers.all()[:10]),
            "endpoints": list(endpoints),
            "rollouts": list(
                Rollout.objects.of(version.team)
                .filter(candidate=version)
                .select_related("endpoint", "candidate")[:10]
            ),
            "tags": ", ".join(version.tags),
        },
    )


_TITLES = {
    "kind": "Kind",
    "model": "Model",
    "digest": "Digest of all it answers with",
    "few_shot": "Examples in its prompt",
    "dataset_version": "Learnt from",
    "dataset_checksum": "Checksum of those rows",
    "training_run": "Training run",
    "backend": "Trained by",
    "training_cost_microusd": "Training cost",
}


def _facts(metadata: dict[str, Any]) -> list[tuple[str, Any]]:
    """Titles and values for people: digests by their beginning, money in dollars."""
    found = []
    for key, value in metadata.items():
        shown = value
        if key.endswith("_microusd"):
            shown = formats.usd(value)
        elif isinstance(value, str) and key in ("model", "digest", "dataset_checksum"):
            shown = _short(value)
        found.append((_TITLES.get(key, key.replace("_", " ").capitalize()), shown))
    return found


def _short(value: str) -> str:
    name, _, digest = value.rpartition(":")
    tail = f"{digest[:12]}…" if len(digest) == 64 else digest
    return f"{name}:{tail}" if name else tail


@require_POST
def version_register(request: HttpRequest, use_case: UseCase) -> HttpResponse:
    """A candidate of the use case becomes a version."""
    posted = request.POST.get("candidate", "")
    candidate = Candidate.objects.filter(
        use_case=use_case, pk=int(posted) if posted.isdecimal() and len(posted) < 19 else 0
    ).first()
    if candidate is None:
        raise BadInput("Choose a candidate of this use case.", field="candidate")
    version = services.register_version(actor=request.user, use_case=use_case, candidate=candidate)
    toast(request, f"{candidate.name} is {version.label}.")
    return redirect(request, "deployments:version-detail", version.pk)


@require_POST
def version_promote(request: HttpRequest, version: ModelVersion) -> HttpResponse:
    """The version becomes production by name; endpoints follow by a rollout, not by this press."""
    check_four_eyes(
        team=version.team, person=request.user, author=version.created_by, what="registered this version"
    )
    services.set_alias(actor=request.user, version=version, note=request.POST.get("reason", ""))
    toast(request, f"{version.label} is production. What was production is now “previous”.")
    return redirect(request, "deployments:version-detail", version.pk)


@require_POST
def use_case_rollback(request: HttpRequest, use_case: UseCase) -> HttpResponse:
    """One press back to the previous production version, its endpoints included (S68)."""
    before = services.rollback(actor=request.user, use_case=use_case, reason=request.POST.get("reason", ""))
    toast(request, f"{before.label} is production again. Endpoints follow within two seconds.")
    return redirect(request, "deployments:version-detail", before.pk)
