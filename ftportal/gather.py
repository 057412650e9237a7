"""What every floor offers to the pages below it, listed in one place: the only file that knows all floors."""

from __future__ import annotations

from typing import Any

from datasets import jobs as datasets_jobs
from datasets.chores import CHORES as DATASETS_CHORES
from datasets.lifecycle import PREPARE
from datasets.pitfalls import signs as signs_of_data
from datasets.training import jobs as training_jobs
from datasets.training.lifecycle import STAGE as TRAIN
from datasets.vault import check_file_open
from decisions.chores import CHORES as DECISIONS_CHORES
from decisions.lifecycle import DECIDE, register_stages
from decisions.pitfalls import register_pitfall_sources
from decisions.search import SOURCE as USE_CASES
from deployments import jobs as deployments_jobs
from deployments.chores import CHORES as DEPLOYMENTS_CHORES
from deployments.lifecycle import STAGES as SHIP_AND_WATCH
from evaluations import jobs as evaluations_jobs
from evaluations.lifecycle import STAGE as EVALUATE
from evaluations.pitfalls import signs as signs_of_measuring
from foundation.files import store
from foundation.files.handing import register_guards
from foundation.jobs import clock
from foundation.jobs.chores import Chore, register_chores
from foundation.jobs.kinds import register_kinds
from foundation.llm import jobs as llm_jobs
from foundation.teams import services as people
from foundation.teams.context import unread
from foundation.teams.domain.roles import Role
from foundation.teams.policy import Scope, declare_prefix
from foundation.teams.settings_hub import SettingsLink, register_settings
from foundation.ui.navigation import NavItem, register_nav
from foundation.ui.search import register_search
from ftportal import jobs as roof_jobs

NAVIGATION = [
    NavItem(
        "Use cases", "decisions:use-case-list", icon="usecase", order=10, matches=("decisions:", "training:")
    ),
    NavItem("Datasets", "datasets:dataset-list", icon="data", order=20, matches=("datasets:",)),
    NavItem("Evaluations", "evaluations:home", icon="evaluate", order=40, matches=("evaluations:",)),
    NavItem(
        "Deployments",
        "deployments:endpoint-list",
        icon="ship",
        order=50,
        matches=("deployments:",),
    ),
    NavItem(
        "Monitoring",
        "deployments:watch-home",
        icon="watch",
        order=60,
        matches=("deployments:watch", "deployments:drift", "deployments:retraining"),
    ),
    NavItem("Jobs", "jobs:job-list", icon="jobs", order=70, matches=("jobs:",)),
    NavItem(
        "Inbox",
        "teams:inbox",
        icon="inbox",
        order=80,
        needs_team=False,
        badge=unread,
        matches=("teams:inbox", "teams:notice"),
    ),
    NavItem("Settings", "teams:settings", icon="settings", order=90, matches=("teams:", "llm:")),
]
KINDS: list[Any] = [
    *llm_jobs.KINDS,
    *datasets_jobs.KINDS,
    *training_jobs.KINDS,
    *evaluations_jobs.KINDS,
    *deployments_jobs.KINDS,
    *roof_jobs.KINDS,
]
CHORES = [
    *llm_jobs.CHORES,
    *DATASETS_CHORES,
    *DECISIONS_CHORES,
    *DEPLOYMENTS_CHORES,
    Chore("teams.seal_audit", "Seal the audit record", 60, people.seal_audit),
    Chore("teams.tidy", "Remove what has expired", 86_400, people.tidy),
    Chore("files.sweep_orphans", "Remove files nobody refers to", 86_400, store.sweep_orphans),
    Chore("jobs.keep_house", "Remove old work records", 3_600, clock.keep_house),
]
SETTINGS = [
    SettingsLink(
        "Connections", "Keys and addresses of the models this team may ask.", "llm:connection-list", "key"
    ),
    SettingsLink(
        "Models and prices", "What each model costs, and until when it lives.", "llm:model-list", "spark"
    ),
    SettingsLink("Dataset gate", "What stops a freeze of a dataset in this team.", "datasets:gate", "lock"),
    SettingsLink("Schedules", "Work the clock starts.", "jobs:schedule-list", "clock", Role.ADMIN),
]


def gather() -> None:
    """Fill the registries of the lower floors. Called once, when the apps are ready."""
    # Addresses other packages own and guard themselves; every other address must declare its own policy.
    declare_prefix("accounts/", Scope.PUBLIC)
    declare_prefix("admin/", Scope.STAFF)
    declare_prefix("api/v1/", Scope.TOKEN)
    register_stages([DECIDE, PREPARE, TRAIN, EVALUATE, *SHIP_AND_WATCH])
    register_pitfall_sources([("datasets", signs_of_data), ("evaluations", signs_of_measuring)])
    register_nav(NAVIGATION)
    register_search([USE_CASES])
    register_kinds(KINDS)
    register_chores(CHORES)
    register_settings(*SETTINGS)
    register_guards([check_file_open])
