"""The four use cases whose scores the source prints or implies, as facts."""

from __future__ import annotations

from decisions.domain.facts import Complexity, Facts, Level, Timing

QUICK_START = Facts(
    name="Email Classification",
    task_complexity=Complexity.SIMPLE,
    data_availability=Level.LOW,
    data_quality=Level.MEDIUM,
    volume_per_day=1000,
    budget_constraint=Level.LOW,
    time_to_market=Timing.URGENT,
    requires_consistency=True,
    data_changes_frequently=True,
    requires_flexibility=True,
)
CUSTOMER_SUPPORT = Facts(
    name="Customer Support Automation",
    task_complexity=Complexity.COMPLEX,
    data_availability=Level.HIGH,
    data_quality=Level.HIGH,
    volume_per_day=5000,
    requires_factual_accuracy=True,
    requires_consistency=True,
    requires_specialised_behaviour=True,
    has_knowledge_base=True,
    domain_specific=True,
)
# The chapter states four of its factors; the rest is the reading of the requirements: medium task, normal timing.
EMAILS = Facts(
    name="Email classification",
    data_availability=Level.HIGH,
    data_quality=Level.HIGH,
    volume_per_day=10_000,
    requires_consistency=True,
    domain_specific=True,
)
DOCUMENTATION = Facts(
    name="Documentation Q&A",
    data_availability=Level.LOW,
    volume_per_day=1000,
    requires_factual_accuracy=True,
    has_knowledge_base=True,
    data_changes_frequently=True,
    requires_citations=True,
    domain_specific=True,
)
