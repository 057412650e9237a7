"""What the clock does for deciding, without anybody asking."""

from decisions.rescoring import rescore
from foundation.jobs.chores import Chore

CHORES = [Chore("decisions.rescore", "Re-score decisions whose facts moved", 60, rescore)]
