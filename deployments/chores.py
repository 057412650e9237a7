"""What the clock does for shipping, without anybody asking."""

from deployments.services import advance_rollouts, sweep_text
from deployments.services.retraining import watch_and_propose
from foundation.jobs.chores import Chore

CHORES = [
    Chore("deployments.sweep_text", "Remove request texts whose time is over", 3_600, sweep_text),
    Chore("deployments.advance_rollouts", "Move rollouts on", 5, advance_rollouts),
    Chore("deployments.retrain", "Propose retrainings and carry on approved ones", 15, watch_and_propose),
]
