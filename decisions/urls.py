from django.urls import URLPattern, URLResolver

from decisions.models import RoiScenario, UseCase, UseCaseQuerySet
from decisions.views import business_case, decisions, readings, returns, same_answer, use_cases, what_if
from foundation.teams.domain.roles import Role
from foundation.teams.models import TeamQuerySet
from foundation.teams.routes import object_path, self_path, team_path

app_name = "decisions"


def _whole() -> UseCaseQuerySet:
    # The hub needs the whole latest answers; they come with the row.
    return UseCase.objects.select_related("team", "owner", "latest_decision__author", "latest_roi__author")


def _scenarios() -> TeamQuerySet:
    return RoiScenario.objects.select_related("team", "use_case__team")


urlpatterns: list[URLPattern | URLResolver] = [
    team_path("t/<slug:team>/use-cases/", use_cases.use_case_list, name="use-case-list"),
    team_path("t/<slug:team>/same-answer/", same_answer.same_answer, name="same-answer"),
    team_path(
        "t/<slug:team>/use-cases/new/", use_cases.use_case_create, name="use-case-create", read=Role.EDITOR
    ),
    object_path(
        "use-cases/<int:pk>/", use_cases.use_case_detail, UseCase, name="use-case-detail", queryset=_whole
    ),
    object_path(
        "use-cases/<int:pk>/edit/", use_cases.use_case_edit, UseCase, name="use-case-edit", read=Role.EDITOR
    ),
    object_path("use-cases/<int:pk>/what-if/", what_if.what_if, UseCase, name="what-if", queryset=_whole),
    object_path("use-cases/<int:pk>/readings/", readings.readings, UseCase, name="readings"),
    object_path("use-cases/<int:pk>/readings/open/", readings.round_open, UseCase, name="round-open"),
    object_path("use-cases/<int:pk>/readings/reveal/", readings.round_reveal, UseCase, name="round-reveal"),
    object_path("use-cases/<int:pk>/archive/", use_cases.use_case_archive, UseCase, name="use-case-archive"),
    object_path(
        "use-cases/<int:pk>/decision/",
        decisions.decision_preview,
        UseCase,
        name="decision-preview",
        queryset=_whole,
    ),
    object_path(
        "use-cases/<int:pk>/decisions/<int:number>/",
        decisions.decision_detail,
        UseCase,
        name="decision-detail",
        queryset=_whole,
    ),
    object_path(
        "use-cases/<int:pk>/decisions/<int:number>/changes/",
        decisions.decision_changes,
        UseCase,
        name="decision-changes",
        queryset=_whole,
    ),
    object_path(
        "use-cases/<int:pk>/decisions/<int:number>/business-case/",
        business_case.business_case,
        UseCase,
        name="business-case",
        queryset=_whole,
    ),
    object_path(
        "use-cases/<int:pk>/decisions/<int:number>/sign/",
        decisions.decision_sign,
        UseCase,
        name="decision-sign",
        write=Role.APPROVER,
        queryset=_whole,
    ),
    object_path(
        "use-cases/<int:pk>/decisions/<int:number>/export.json",
        decisions.decision_export,
        UseCase,
        name="decision-export",
    ),
    object_path("use-cases/<int:pk>/returns/", returns.roi_list, UseCase, name="roi-list", queryset=_whole),
    object_path(
        "use-cases/<int:pk>/returns/new/", returns.roi_create, UseCase, name="roi-create", read=Role.EDITOR
    ),
    object_path("use-cases/<int:pk>/returns/what-if/", returns.roi_what_if, UseCase, name="roi-what-if"),
    object_path(
        "use-cases/<int:pk>/returns/compare.csv", returns.roi_compare_csv, UseCase, name="roi-compare-csv"
    ),
    object_path(
        "use-cases/<int:pk>/returns/actual/",
        returns.roi_actual,
        UseCase,
        name="roi-actual",
        queryset=_whole,
    ),
    object_path(
        "use-cases/<int:pk>/returns/actual.csv",
        returns.roi_actual_csv,
        UseCase,
        name="roi-actual-csv",
        queryset=_whole,
    ),
    object_path(
        "use-cases/<int:pk>/returns/<int:number>/",
        returns.roi_detail,
        UseCase,
        name="roi-detail",
        queryset=_whole,
    ),
    object_path(
        "use-cases/<int:pk>/returns/<int:number>/cash-flow.csv",
        returns.roi_cash_flow,
        UseCase,
        name="roi-cash-flow",
    ),
    object_path(
        "scenarios/<int:pk>/archive/",
        returns.scenario_archive,
        RoiScenario,
        name="scenario-archive",
        queryset=_scenarios,
    ),
    self_path("help/stuck/", use_cases.stuck, name="stuck"),
]
