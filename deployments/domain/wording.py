"""Whether recent requests use other words than the rows a version learnt from. Knows no table, no model and no clock.

Length and language stay the same when people begin to ask about something new; their words do not. A text counts a
word once. What chance gives is asked by shuffling texts between both sides at their actual sizes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from deployments.domain.drift import Bins, FeatureDrift, Settings, divergences
from deployments.domain.features import words_of

FEATURE = "wording"
# Words looked at: the commonest of both sides together, so that choosing them favours neither side.
MOST_WORDS = 600
# In fewer texts than this a word says nothing.
FEWEST_TEXTS = 5
# 499 shuffles of 5,000 texts take half a second; the smallest p they can give is 0.002.
MOST_PERMUTATIONS = 499
WORDS_SHOWN = 12


def read_wording(
    reference: Sequence[str], current: Sequence[str], *, settings: Settings, seed: int
) -> FeatureDrift:
    """One reading of the feature `wording`, its p-value not yet corrected over the features.

    Its bins are the words that moved most, each counted in texts that hold it, and last the texts of each side. Its
    divergence is that of the first word's two shares. `word_p` are p-values of single words, corrected over all words
    looked at by the greatest divergence that chance gave (Westfall and Young 1993, single step).
    """
    before, now = len(reference), len(current)
    nothing = FeatureDrift(FEATURE, Bins("words"), (before,), (now,))
    if min(before, now) < settings.min_sample:
        return nothing
    texts = [set(words_of(text)) for text in (*reference, *current)]
    in_texts = Counter(word for words in texts for word in words)
    names = [word for word, n in in_texts.most_common(MOST_WORDS) if n >= FEWEST_TEXTS]
    # A word in every text tells nothing and has no spread.
    names = sorted(name for name in names if in_texts[name] < before + now)
    if not names:
        return nothing
    place = {name: i for i, name in enumerate(names)}
    holds = np.zeros((before + now, len(names)), dtype=np.float32)
    for row, words in enumerate(texts):
        for word in words:
            if (at := place.get(word)) is not None:
                holds[row, at] = 1
    total, seen = holds.sum(axis=0, dtype=np.float64), holds[before:].sum(axis=0, dtype=np.float64)
    n = min(settings.n_permutations, MOST_PERMUTATIONS)
    rng = np.random.default_rng(seed)
    drawn = np.zeros((n, before + now), dtype=np.float32)
    for shuffle in drawn:
        shuffle[rng.choice(before + now, now, replace=False)] = 1
    shuffled = (drawn @ holds).astype(np.float64)

    def apart(counts: np.ndarray) -> np.ndarray:
        """Divergence of each word's two shares. Shapes: (k, words) in and out."""
        p, q = (total - counts) / before, counts / now
        return divergences(np.stack([p, 1 - p], axis=-1), np.stack([q, 1 - q], axis=-1))

    moved, greatest = apart(seen), apart(shuffled).max(axis=1)
    order = sorted(range(len(names)), key=lambda i: (-moved[i], names[i]))[:WORDS_SHOWN]
    by_chance = [float((1 + (greatest >= moved[i] - 1e-9).sum()) / (1 + n)) for i in order]
    limit = max(float(np.quantile(greatest, 1 - settings.alpha)), settings.least_divergence)
    return FeatureDrift(
        FEATURE,
        Bins("words", names=tuple(names[i] for i in order)),
        (*(int(total[i] - seen[i]) for i in order), before),
        (*(int(seen[i]) for i in order), now),
        divergence=float(moved[order[0]]),
        threshold=limit,
        p_value=by_chance[0],
        word_p=tuple(by_chance),
    )
