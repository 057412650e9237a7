"""Plans of the source's two examples, and plans of any kind for properties."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import strategies as st

from decisions.domain.plans import Plan
from decisions.domain.ranges import Range

M = 1_000_000
DEMO = {
    "monthly_volume": 150_000,
    "current_cost_per_request_microusd": 5_000,
    "fine_tuned_cost_per_request_microusd": 3_000,
    "setup_cost_microusd": 5_000 * M,
    "training_cost_microusd": 0,
    "monthly_maintenance_microusd": 500 * M,
    "quality_improvement": "0.15",
    "value_per_improved_microusd": 500_000,
    "horizon_months": 12,
}
EMAIL = {
    **DEMO,
    "monthly_volume": 300_000,
    "current_cost_per_request_microusd": 4_000,
    "fine_tuned_cost_per_request_microusd": 2_000,
    "setup_cost_microusd": 3_000 * M,
    "quality_improvement": "0.25",
}
# Doubt about everything that decides: nobody knows the worth to better than a factor of ten.
WIDE = {
    **DEMO,
    "monthly_volume": [60_000, 150_000, 600_000],
    "fine_tuned_cost_per_request_microusd": [1_500, 3_000, 6_000],
    "setup_cost_microusd": [3_000 * M, 5_000 * M, 15_000 * M],
    "monthly_maintenance_microusd": [300 * M, 500 * M, 1_500 * M],
    "quality_improvement": ["-0.02", "0.05", "0.15"],
    "value_per_improved_microusd": [10_000, 50_000, 300_000],
    "horizon_months": 36,
}
GPU = {
    **{name: value for name, value in DEMO.items() if not name.startswith("fine_tuned")},
    "fine_tuned_serving": {"shape": "gpu_hour", "hour_microusd": 500_000, "requests_an_hour": 400},
}
TOKENS = {
    **{name: value for name, value in DEMO.items() if not name.startswith("current")},
    "current_serving": {
        "shape": "per_token",
        "input_tokens": [800, 1_000, 2_000],
        "output_tokens": 200,
        "input_price_microusd": 3 * M,
        "output_price_microusd": 15 * M,
        "cached_share": "0.5",
        "batch_share": "0.25",
    },
}


def plan(values=None, **changes) -> Plan:
    """A plan of one of the mappings above with changes."""
    return Plan.from_mapping({**(values or DEMO), **changes})


def ranges(low: int, high: int, per: int = 1):
    """Ranges of fractions between two bounds, points among them."""
    three = st.lists(st.integers(low * per, high * per), min_size=3, max_size=3).map(sorted)
    return three.map(lambda v: Range(*(Fraction(x, per) for x in v))) | st.integers(
        low * per, high * per
    ).map(lambda v: Range.of(Fraction(v, per)))


any_plan = st.builds(
    lambda volume, today, tuned, setup, training, upkeep, gain, worth, months, hour, hours: plan(
        monthly_volume=volume,
        current_cost_per_request_microusd=today,
        fine_tuned_cost_per_request_microusd=tuned,
        setup_cost_microusd=setup,
        training_cost_microusd=training,
        monthly_maintenance_microusd=upkeep,
        quality_improvement=gain,
        value_per_improved_microusd=worth,
        horizon_months=months,
        hour_of_work_microusd=hour,
        data_hours=hours,
        review_hours=hours,
    ),
    ranges(0, 10**6),
    ranges(0, 10**5),
    ranges(0, 10**5),
    ranges(0, 10**10),
    ranges(0, 10**9),
    ranges(0, 10**9),
    ranges(-1, 1, per=10_000),
    ranges(0, 10**6),
    st.integers(1, 60),
    ranges(0, 10**8),
    ranges(0, 100),
)
