"""Which rows of a frozen version are closed: what its own dataset tests on now, and for a mix what its members do.

A row of a mix is a text of its own, because it names its task; without that name it is held against the members' tests.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import OuterRef, Subquery

from datasets.active import Texts
from datasets.asked import asked_by
from datasets.domain.cleaning import digest
from datasets.domain.mixing import prefixed
from datasets.models import Content, DatasetVersion
from datasets.vault import Vault, with_looks
from foundation.teams.models import User


class RowsVault:
    """The closed rows of one version, asked about many times: versions and looks are looked up once."""

    def __init__(self, version: DatasetVersion, user: User | None = None) -> None:
        self.own = Vault(version.dataset, user)
        self.members = _closed_members(version, user)

    def closed(self, contents: Sequence[Content]) -> frozenset[int]:
        """The numbers of those of these contents, read already, that are closed to this person."""
        sealed = set(self.own.closed(content.pk for content in contents))
        found: dict[str, list[Texts]] = {}
        for content in contents:
            for beginning in self.members:
                if content.prompt.startswith(beginning):
                    found.setdefault(beginning, []).append(_without(beginning, content))
        if found:
            tests = asked_by([self.members[beginning] for beginning in found])
            for texts, test in zip(found.values(), tests, strict=True):
                asked = test.has(texts)
                sealed |= {t.content_id for t, is_asked in zip(texts, asked, strict=True) if is_asked}
        return frozenset(sealed)


def _closed_members(version: DatasetVersion, user: User | None) -> dict[str, DatasetVersion]:
    """By how its rows begin in the mix: the newest version of each member's dataset whose test is closed."""
    tasks = {one["version"]: one["task"] for one in (version.recipe or {}).get("mix", {}).get("tasks", ())}
    if not tasks:
        return {}
    frozen = DatasetVersion.objects.frozen().filter(dataset=OuterRef("dataset")).order_by("-number")
    mixed = DatasetVersion.objects.filter(pk__in=tasks, team_id=version.team_id)
    newest = dict(mixed.annotate(newest=Subquery(frozen.values("pk")[:1])).values_list("pk", "newest"))
    closed = {one.pk: one for one in with_looks(user).filter(pk__in=newest.values()) if not one.is_open}  # type: ignore[attr-defined]
    return {prefixed(tasks[pk], ""): closed[now] for pk, now in newest.items() if now in closed}


def _without(beginning: str, content: Content) -> Texts:
    """The text as it stands in the member's dataset."""
    prompt = content.prompt.removeprefix(beginning)
    key = digest(content.system, content.turns, prompt, content.completion, content.extra)
    return Texts(content.pk, content.system, content.turns, prompt, content.completion, key)
