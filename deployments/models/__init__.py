"""Tables of shipping and watching: what may be served, who is served what, and what came of it."""

from deployments.models.rollouts import Rollout, RolloutEvent
from deployments.models.serving import (
    BudgetDay,
    Endpoint,
    Feedback,
    GatewayBeat,
    GatewayToken,
    Prediction,
    RoutingRevision,
    TrafficChange,
)
from deployments.models.versions import Alias, ModelVersion
from deployments.models.watching import DriftCheck, DriftReference, PerformanceCheck, Reading, Retraining

__all__ = [
    "Alias",
    "BudgetDay",
    "DriftCheck",
    "DriftReference",
    "Endpoint",
    "Feedback",
    "GatewayBeat",
    "GatewayToken",
    "ModelVersion",
    "PerformanceCheck",
    "Prediction",
    "Reading",
    "Retraining",
    "Rollout",
    "RolloutEvent",
    "RoutingRevision",
    "TrafficChange",
]
