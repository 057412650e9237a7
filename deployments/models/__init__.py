"""Tables of shipping and watching: what may be served, who is served what, and what came of it."""

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

__all__ = [
    "Alias",
    "BudgetDay",
    "Endpoint",
    "Feedback",
    "GatewayBeat",
    "GatewayToken",
    "ModelVersion",
    "Prediction",
    "RoutingRevision",
    "TrafficChange",
]
