"""Scores to a recommendation: the hybrid rule, the score, the decision tree for a tie, or the smaller effort.

Pure. Every way a recommendation came about is said in its sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from decisions.domain.approaches import EFFORT, Approach
from decisions.domain.scoring import HYBRID_ABOVE, HYBRID_WITHIN, Score, hundredths
from decisions.domain.tree import TreeWalk


@dataclass(frozen=True, slots=True)
class Verdict:
    """The recommendation, how it was reached, and by how much.

    `by` is "score" (clearly ahead), "hybrid" (RAG and fine-tuning both needed), "tree" (a tie the tree broke) or
    "effort" (a tie the tree does not settle: the quicker one). `margin` is hundredths ahead of `runner_up` among
    the approaches whose gate is open; 0 in a tie, None for the hybrid rule, which compares two others.
    """

    recommendation: Approach
    by: str
    margin: int | None
    runner_up: Approach | None
    tied: tuple[Approach, ...]
    headline: str
    sentence: str


def judge(scores: Mapping[Approach, Score], tree: TreeWalk) -> Verdict:
    """Which approach, and how that was settled: the hybrid rule, the score, the tree, or the smaller effort."""
    rag, tuned = scores[Approach.RAG], scores[Approach.FINE_TUNING]
    prompt = scores[Approach.PROMPT]
    ranked = sorted((s for s in scores.values() if s.gate.is_open), key=lambda s: -s.capped)
    best = ranked[0].capped
    if hybrid_is_needed(prompt, rag, tuned):
        return _hybrid_verdict(rag, tuned, best, ranked)
    tied = tuple(s.approach for s in ranked if s.capped == best)
    if len(tied) == 1:
        winner, second = ranked[0], ranked[1]
        margin = winner.capped - second.capped
        ahead = f"{hundredths(margin)} ahead of {second.approach.inline}"
        sentence = f"{winner.approach.label} scores {hundredths(best)}, {ahead}."
        if prompt is winner and _both_strong_and_close(rag, tuned):
            sentence += (
                " RAG and fine-tuning are both strong and close behind: should the prompt fall short, the next "
                "thing to try is the two together."
            )
        return Verdict(
            winner.approach,
            "score",
            margin,
            second.approach,
            (),
            f"{winner.approach.label}, {ahead}",
            sentence,
        )
    names = listed([approach.inline for approach in tied])
    tie = f"{names[0].upper()}{names[1:]} tie for first at {hundredths(best)}."
    if tree.names in tied:
        winner_approach, by = tree.names, "tree"
        sentence = f"{tie} The decision tree settles it: {tree.sentence[0].lower()}{tree.sentence[1:]}"
    else:
        winner_approach, by = tied[0], "effort"
        sentence = (
            f"{tie} The decision tree ends at {tree.names.inline}, which is not among them, so the one that takes "
            f"less effort goes first: {tied[0].inline}, {EFFORT[tied[0]].weeks}."
        )
    others = listed([approach.inline for approach in tied if approach is not winner_approach])
    how = "by the tree" if by == "tree" else "the smaller effort"
    return Verdict(
        winner_approach,
        by,
        0,
        next(approach for approach in tied if approach is not winner_approach),
        tied,
        f"{winner_approach.label}, {how}: a tie with {others} at {hundredths(best)}",
        sentence,
    )


def hybrid_is_needed(prompt: Score, rag: Score, tuned: Score) -> bool:
    """RAG and fine-tuning may both be used, are both strong, close to each other, and lead.

    Where a plain prompt scores above both of them there is no tie between the two to settle: two systems would be
    built where the smallest effort is ahead.
    """
    return _both_strong_and_close(rag, tuned) and prompt.capped <= max(rag.capped, tuned.capped)


def _both_strong_and_close(rag: Score, tuned: Score) -> bool:
    return (
        tuned.gate.is_open
        and rag.gate.is_open
        and rag.capped > HYBRID_ABOVE
        and tuned.capped > HYBRID_ABOVE
        and abs(rag.capped - tuned.capped) <= HYBRID_WITHIN
    )


def _hybrid_verdict(rag: Score, tuned: Score, best: int, ranked: list[Score]) -> Verdict:
    tied = tuple(s.approach for s in ranked if s.capped == best)
    if rag.capped == tuned.capped:
        figures = f"RAG and fine-tuning tie at {hundredths(rag.capped)}"
    else:
        figures = (
            f"RAG {hundredths(rag.capped)} and fine-tuning {hundredths(tuned.capped)} are within "
            f"{hundredths(HYBRID_WITHIN)}"
        )
    return Verdict(
        Approach.HYBRID,
        "hybrid",
        None,
        Approach.RAG if rag.capped >= tuned.capped else Approach.FINE_TUNING,
        tied if len(tied) > 1 else (),
        f"Hybrid: {figures}",
        f"{figures}, and both are needed: look facts up, and train the behaviour. "
        "Begin with RAG, which stands sooner, and fine-tune on its answers.",
    )


def listed(words: list[str]) -> str:
    """Words as people list them: "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
