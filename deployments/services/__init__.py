"""What people and the clock do when shipping: one function per intention, with its transaction and audit event."""

from deployments.services.endpoints import (
    archive_endpoint,
    create_endpoint,
    issue_gateway_token,
    revoke_gateway_token,
    set_split,
    switch,
    update_endpoint,
)
from deployments.services.predictions import record_feedback, sweep_text
from deployments.services.rollouts import advance_rollout, advance_rollouts, move_rollout, start_rollout
from deployments.services.routing import begin_new_epoch, touch_routing
from deployments.services.versions import edit_version, register_version, rollback, set_alias

__all__ = [
    "advance_rollout",
    "advance_rollouts",
    "archive_endpoint",
    "begin_new_epoch",
    "create_endpoint",
    "edit_version",
    "issue_gateway_token",
    "move_rollout",
    "record_feedback",
    "register_version",
    "revoke_gateway_token",
    "rollback",
    "set_alias",
    "set_split",
    "start_rollout",
    "sweep_text",
    "switch",
    "touch_routing",
    "update_endpoint",
]
