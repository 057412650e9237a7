"""Pages of endpoints: the list, a new one, one with its address and traffic, its settings, its tokens."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST

from deployments import reading, services
from deployments.forms import EndpointForm, EndpointSettingsForm, GatewayTokenForm
from deployments.models import Endpoint, GatewayToken, ModelVersion, Prediction
from deployments.models.versions import tasks_of
from deployments.policies import can_switch_on, check_can_switch
from deployments.snippets import TOKEN_VARIABLE, snippets
from foundation.teams.domain.roles import Role
from foundation.teams.errors import BadInput
from foundation.teams.models import Team
from foundation.teams.presses import once
from foundation.ui.htmx import redirect, toast

LAST_PREDICTIONS = 20
# A second press finds the token of the first one; after this the secret is not shown again.
SHOW_SECRET_FOR = timedelta(minutes=10)


def endpoint_list(request: HttpRequest, team: Team) -> HttpResponse:
    """The team's endpoints, what they serve and how much was asked of them today."""
    show = request.GET.get("show", "")
    found = Endpoint.objects.of(team).for_pages()
    found = found.exclude(archived_at=None) if show == "archived" else found.current()
    endpoints = list(found[:200])
    today = reading.requests_of_a_day(endpoints)
    return render(
        request,
        "deployments/endpoint_list.html",
        {
            "rows": [(endpoint, today.get(endpoint.pk, reading.QUIET)) for endpoint in endpoints],
            "show": show,
            "gateway_url": settings.GATEWAY_URL,
            "gateways": reading.gateways(),
            "has_versions": ModelVersion.objects.of(team).exists(),
        },
    )


def endpoint_create(request: HttpRequest, team: Team) -> HttpResponse:
    """A new endpoint."""
    data = request.POST if request.method == "POST" else None
    form = EndpointForm(data, team=team, initial={"version": request.GET.get("version")})
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            endpoint, _ = once(
                user=request.user,
                press=given["press"],
                purpose="deployments.endpoint",
                model=Endpoint,
                make=lambda: services.create_endpoint(
                    actor=request.user,
                    use_case=given["version"].use_case,
                    slug=given["slug"],
                    version=given["version"],
                    text_retention=given["text_retention"],
                    system_policy=given["system_policy"],
                    **({"task": given["task"]} if given.get("task") else {}),
                ),
            )
        except BadInput as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            toast(request, f"{endpoint.slug} answers from now on. Make a token for who may ask.")
            return redirect(request, "deployments:endpoint-detail", endpoint.pk)
    return render(
        request,
        "deployments/endpoint_create.html",
        {
            "form": form,
            "gateway_url": settings.GATEWAY_URL,
            "has_versions": form.fields["version"].queryset.exists(),
        },
        status=422 if form.errors else 200,
    )


def endpoint_detail(request: HttpRequest, endpoint: Endpoint) -> HttpResponse:
    """One endpoint: its address, who gets what, its figures, its last predictions."""
    predictions = (
        Prediction.objects.filter(endpoint=endpoint).select_related("version").newest()[:LAST_PREDICTIONS]
    )
    now = timezone.now()
    return render(
        request,
        "deployments/endpoint_detail.html",
        {
            "endpoint": endpoint,
            "address": f"{settings.GATEWAY_URL}/{endpoint.slug}",
            "snippets": snippets(settings.GATEWAY_URL, endpoint.slug),
            "token_variable": TOKEN_VARIABLE,
            "traffic": reading.traffic(endpoint),
            "newest": reading.NEWEST,
            "predictions": list(predictions),
            "changes": list(endpoint.traffic_changes.select_related("by", "baseline", "candidate")[:10]),
            "n_tokens": endpoint.tokens.live(now).count(),
            "gateways": reading.gateways(now=now),
            "can_switch_on": can_switch_on(request.role),
            "rollout": endpoint.rollouts.open().select_related("candidate").first(),
            "drift": endpoint.drift_checks.first(),
            "performance": endpoint.performance_checks.first(),
        },
    )


def endpoint_edit(request: HttpRequest, endpoint: Endpoint) -> HttpResponse:
    """What is kept, waited for and allowed."""
    budget = endpoint.daily_budget_microusd
    form = EndpointSettingsForm(
        request.POST if request.method == "POST" else None,
        tasks=tasks_of(ModelVersion.objects.of(endpoint.team).filter(use_case_id=endpoint.use_case_id)),
        initial={
            "task": endpoint.task,
            "text_retention": endpoint.text_retention,
            "text_percent": round(endpoint.text_share * 100, 4),
            "text_days": endpoint.text_days,
            "system_policy": endpoint.system_policy,
            "falls_back": endpoint.falls_back,
            "timeout_s": endpoint.timeout_s,
            "max_in_flight": endpoint.max_in_flight,
            "requests_per_minute": endpoint.requests_per_minute,
            "daily_budget": None if budget is None else budget / 1_000_000,
        },
    )
    if request.method == "POST" and form.is_valid():
        try:
            services.update_endpoint(actor=request.user, endpoint=endpoint, **form.settings())
        except BadInput as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            toast(request, "Saved. Gateways follow within two seconds.")
            return redirect(request, "deployments:endpoint-detail", endpoint.pk)
    return render(
        request,
        "deployments/endpoint_edit.html",
        {"endpoint": endpoint, "form": form},
        status=422 if form.errors else 200,
    )


def endpoint_tokens(request: HttpRequest, endpoint: Endpoint) -> HttpResponse:
    """The keys to an endpoint; a new one is made here and shown, this once."""
    form = GatewayTokenForm(request.POST if request.method == "POST" else None)
    text, made, now = "", None, timezone.now()
    if request.method == "POST" and form.is_valid():
        try:
            made, text = services.issue_gateway_token(
                actor=request.user,
                endpoint=endpoint,
                name=form.cleaned_data["name"],
                days=form.cleaned_data["days"],
                press=form.cleaned_data["press"],
            )
        except BadInput as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            text = text if now - made.created_at < SHOW_SECRET_FOR else ""
            form = GatewayTokenForm()
    rows = [
        (t, "revoked" if t.revoked_at else "live" if t.expires_at is None or t.expires_at > now else "ended")
        for t in endpoint.tokens.select_related("created_by")[:200]
    ]
    return render(
        request,
        "deployments/endpoint_tokens.html",
        {
            "endpoint": endpoint,
            "form": form,
            "text": text,
            "made": made,
            "rows": rows,
            "export": f"export {TOKEN_VARIABLE}={text}",
        },
        status=422 if form.errors else 200,
    )


@require_POST
def token_revoke(request: HttpRequest, token: GatewayToken) -> HttpResponse:
    """Ends a token; gateways refuse it within two seconds."""
    services.revoke_gateway_token(actor=request.user, token=token)
    toast(request, f"The token “{token.name}” opens nothing any more.")
    return redirect(request, "deployments:endpoint-tokens", token.endpoint_id)


@require_POST
def endpoint_switch(request: HttpRequest, endpoint: Endpoint) -> HttpResponse:
    """The kill switch."""
    on = request.POST.get("on") == "1"
    check_can_switch(endpoint, request.role or Role.VIEWER, on=on)
    reason = request.POST.get("reason") or ("switched on by hand" if on else "switched off by hand")
    services.switch(actor=request.user, endpoint=endpoint, on=on, reason=reason)
    toast(request, f"{endpoint.slug} {'answers again' if on else 'answers nobody'} within two seconds.")
    return redirect(request, "deployments:endpoint-detail", endpoint.pk)


@require_POST
def endpoint_archive(request: HttpRequest, endpoint: Endpoint) -> HttpResponse:
    """Put an endpoint away."""
    services.archive_endpoint(actor=request.user, endpoint=endpoint)
    toast(request, f"{endpoint.slug} is archived. What it recorded stays.")
    return redirect(request, "deployments:endpoint-list", endpoint.team.slug)
