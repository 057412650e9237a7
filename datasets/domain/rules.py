"""The named rules a dataset is checked by: how bad, what they are called, what can be done with one click."""

from __future__ import annotations

from dataclasses import dataclass

from datasets.domain.statuses import Severity


@dataclass(frozen=True, slots=True)
class Action:
    """One fix: its key, the words on the button, whether it drops rows or rewrites their text."""

    key: str
    label: str
    drops: bool = True
    # Only for rows a person ticked: never for all at once.
    each: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One check: key, title, severity, why it matters, and the fixes that are safe."""

    key: str
    title: str
    severity: Severity
    why: str
    actions: tuple[Action, ...] = ()
    # Kinds of task it makes sense for; empty: all.
    tasks: tuple[str, ...] = ()

    def fits(self, task_kind: str) -> bool:
        """Whether the rule looks at datasets of this task."""
        return not self.tasks or task_kind in self.tasks

    def action(self, key: str) -> Action | None:
        """The fix of that name, if this rule has it."""
        return next((a for a in self.actions if a.key == key), None)


_DROP = Action("drop", "Drop these rows")
RULES: dict[str, Rule] = {
    rule.key: rule
    for rule in (
        Rule(
            "exact_duplicate",
            "Exact duplicates",
            Severity.ERROR,
            "A row that stands twice counts twice, and may end up on both sides of the split.",
            (Action("drop_extra", "Keep one of each"),),
        ),
        Rule(
            "loose_duplicate",
            "Duplicates but for formatting",
            Severity.WARNING,
            "These rows differ in case, punctuation or spacing only.",
            (Action("drop_extra", "Keep one of each"),),
        ),
        Rule(
            "near_duplicate",
            "Near-duplicates",
            Severity.WARNING,
            "These rows share at least 80% of their groups of 3 words, or of their groups of 4 characters where a text has fewer than 14 "
            "words. A split that divides them flatters the model; "
            "freezing keeps each group in one split either way.",
            (Action("drop_extra", "Keep one of each group"),),
        ),
        Rule(
            "label_noise",
            "Labels that look wrong",
            Severity.WARNING,
            "A local classifier learnt from the other rows is sure of another label. Where labels lie close together it is "
            "wrong as often as right: of 40 such rows of a public set of bank questions that were read, 16 labels were wrong "
            "and 9 could go either way. The least likely labels stand first. Read before you relabel.",
            (
                Action("relabel", "Take the suggested labels", drops=False, each=True),
                Action("drop", "Drop these rows", each=True),
            ),
            tasks=("classify",),
        ),
        Rule(
            "judged_weak",
            "Contradictory, unclear or weak rows",
            Severity.WARNING,
            "A model judged these rows below the bar and said why. Mend or drop them, then judge the mended ones again.",
            (Action("drop", "Drop these rows", each=True),),
        ),
        Rule(
            "conflict",
            "Same prompt, different answers",
            Severity.ERROR,
            "A model cannot learn two answers to one question.",
            (Action("keep_majority", "Keep the answer most rows give"), Action("drop", "Drop all of them")),
        ),
        Rule(
            "pii",
            "Personal data",
            Severity.ERROR,
            "Addresses, numbers of cards, accounts, phones and people, keys and passwords, found by pattern and "
            "checksum; names and streets are not looked for. A trained model can repeat them.",
            (
                Action("mask", "Redact them, as [EMAIL]", drops=False),
                Action("replace", "Replace by made-up ones", drops=False),
                _DROP,
            ),
        ),
        Rule(
            "encoding",
            "Debris of wrong encodings",
            Severity.WARNING,
            "Text such as “CafÃ©” was decoded wrongly somewhere on its way.",
            (Action("repair", "Repair the text", drops=False), _DROP),
        ),
        Rule(
            "lost_characters",
            "Lost characters",
            Severity.WARNING,
            "The character � stands where the original is gone; nothing can bring it back.",
            (_DROP,),
        ),
        Rule(
            "hidden_characters",
            "Characters nobody sees",
            Severity.WARNING,
            "A model reads them, people do not: letters written as tags, selectors in a row, marks that turn text around. Attacks "
            "on models hide orders in them.",
            (Action("strip", "Take them out", drops=False), _DROP),
        ),
        Rule("too_short", "Too short", Severity.WARNING, "There is too little text to learn from.", (_DROP,)),
        Rule("too_long", "Too long", Severity.WARNING, "Most providers cut rows of this length.", (_DROP,)),
        Rule(
            "token_limit",
            "More tokens than a provider takes",
            Severity.WARNING,
            "Rows are compared by an upper bound: no tokenizer makes more tokens than there are UTF-8 bytes. "
            "The likely number is an estimate at 2.8 bytes a token.",
            (_DROP,),
        ),
        Rule(
            "truncated",
            "Answers that were cut off",
            Severity.WARNING,
            "They end in the middle of a sentence, of JSON or of a block of code, as an answer does that reached its limit. "
            "A model learns to stop there too.",
            (_DROP,),
            tasks=("extract", "answer", "write"),
        ),
        Rule(
            "refusal",
            "Answers that refuse",
            Severity.WARNING,
            "“I can't help with that” teaches a model to refuse. Keep them only where refusing is right.",
            (_DROP,),
            tasks=("extract", "answer", "write"),
        ),
        Rule(
            "other_language",
            "Another language than most",
            Severity.NOTE,
            "Told by common words (English, German, French, Spanish, Italian, Portuguese, Dutch, Polish) or by script; "
            "texts under four words are not judged, and close relatives may be confused.",
            (_DROP,),
        ),
        Rule(
            "answer_language",
            "Answered in another language",
            Severity.NOTE,
            "Right for translations, wrong for nearly everything else. Told by common words or by script.",
            (_DROP,),
            tasks=("answer", "write"),
        ),
        Rule(
            "empty_answer",
            "Answers that say nothing",
            Severity.ERROR,
            "Only punctuation, or a phrase such as “Answer:”.",
            (_DROP,),
            tasks=("extract", "answer", "write"),
        ),
        Rule(
            "not_json",
            "Answers that are not JSON",
            Severity.WARNING,
            "The task fills in fields as JSON.",
            (_DROP,),
            tasks=("extract",),
        ),
        Rule(
            "unknown_label",
            "Labels the task does not name",
            Severity.WARNING,
            "The use case lists its labels; these rows carry another one.",
            (_DROP,),
            tasks=("classify",),
        ),
        Rule(
            "speaks_to_judge",
            "Text that gives orders to a judge",
            Severity.WARNING,
            "The row asks for a score or tells its reader to ignore instructions. Its score must not be believed.",
            (_DROP,),
        ),
        Rule(
            "imbalance",
            "Labels out of balance",
            Severity.NOTE,
            "The largest label has at least ten times the rows of the smallest. Accuracy alone will hide the rest.",
            tasks=("classify",),
        ),
        Rule(
            "one_label",
            "One label only",
            Severity.WARNING,
            "Every row carries the same label, so nothing can be told apart: bring in rows of another, or choose another column as the label.",
            tasks=("classify",),
        ),
        Rule(
            "thin_label",
            "Thin labels",
            Severity.WARNING,
            "A label with fewer than 10 rows can be neither learnt nor tested.",
            (_DROP,),
            tasks=("classify",),
        ),
    )
}
THIN = 10
OUT_OF_BALANCE = 10.0
