"""What the clock does for shipping, without anybody asking."""

from deployments.services import advance_rollouts, sweep_text
from deployments.services.actuals import tell_actuals
from deployments.services.handing_down import hand_down
from deployments.services.retraining import watch_and_propose
from foundation.jobs.chores import Chore

CHORES = [
    Chore("deployments.tell_actuals", "Tell returns what really happened", 3_600, tell_actuals),
    Chore("deployments.sweep_text", "Remove request texts whose time is over", 3_600, sweep_text),
    Chore("deployments.hand_down", "Tell use cases what serving measured", 21_600, hand_down),
    Chore("deployments.advance_rollouts", "Move rollouts on", 5, advance_rollouts),
    Chore("deployments.retrain", "Propose retrainings and carry on approved ones", 15, watch_and_propose),
]
