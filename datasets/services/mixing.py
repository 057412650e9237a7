"""One version out of several: each task keeps its splits, names itself in the prompt, and learns in balance (S45)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.urls import reverse

from datasets import bulk
from datasets.active import texts_of
from datasets.domain.cleaning import digest, loose
from datasets.domain.duplicates import NearDuplicates
from datasets.domain.leakage import from_the_future, leakage, to_leave_out
from datasets.domain.mixing import known_elsewhere, prefixed, quotas, task_label
from datasets.domain.power import mcnemar_power, power_sentence, rows_needed
from datasets.domain.recipe import Recipe, checksum
from datasets.domain.splitting import SPLITS, rank
from datasets.domain.stats import stats
from datasets.domain.statuses import Split, VersionState
from datasets.freezing import Frozen
from datasets.freezing_rows import hold_building
from datasets.models import Content, Dataset, DatasetVersion, VersionRow
from datasets.policies import check_can_use
from datasets.services.contents import clear_rows
from datasets.services.imports import create_dataset
from decisions.models import UseCase
from foundation.jobs.services import start_job
from foundation.teams import audit
from foundation.teams.errors import BadInput
from foundation.teams.models import User

_CONTENT = ("id", "team_id", "digest", "system", "turns", "prompt", "completion", "extra", "n_chars")
_ROW = ("version_id", "content_id", "example_id", "label", "group", "at", "split", "position")
MOST_TASKS = 20


def mix_versions(
    *,
    actor: User | None,
    use_case: UseCase,
    name: str,
    members: Sequence[tuple[DatasetVersion, str]],
    temperature: float = 1.0,
    most: int | None = None,
    seed: str = "mix-1",
) -> DatasetVersion:
    """The first version of a new dataset, being mixed by its job from frozen versions and their tasks' names.

    Raises: BadInput naming the field for fewer than two tasks, two of one name, another kind of task or team.
    """
    try:
        named = [(version, task_label(task)) for version, task in members]
        quotas([1], temperature=temperature, most=most)
        recipe = Recipe(seed=seed, task_kind=use_case.task_kind).as_json()
    except ValueError as error:
        field = "temperature" if "temperature" in str(error) else "seed" if "seed" in str(error) else "most"
        raise BadInput(str(error), field=field) from None
    if not 2 <= len({version.pk for version, _ in named}) == len(named) <= MOST_TASKS:
        raise BadInput(f"Choose 2 to {MOST_TASKS} different versions.", field="versions")
    if len({task.casefold() for _, task in named}) < len(named):
        raise BadInput("Two tasks have one name. The prefix could not tell them apart.", field="versions")
    for version, _ in named:
        check_can_use(version)
        if version.team_id != use_case.team_id:
            raise BadInput("A version belongs to another team.", field="versions")
        if version.task_kind != use_case.task_kind:
            raise BadInput(
                f"“{version.dataset.name}” is of the kind “{version.task_kind}”, the use case of “{use_case.task_kind}”. "
                "Mixed tasks are scored alike, so they must be of one kind.",
                field="versions",
            )
    recipe["mix"] = {
        "temperature": temperature,
        "most": most,
        "tasks": [
            {"task": task, "version": version.pk, "checksum": version.checksum} for version, task in named
        ],
    }
    with transaction.atomic():
        dataset = create_dataset(
            actor=actor,
            team=use_case.team,
            use_case=use_case,
            name=name,
            description="Mixed from "
            + ", ".join(f"{v.dataset.name} version {v.number}" for v, _ in named)
            + ".",
            licence=" + ".join(sorted({v.dataset.licence for v, _ in named if v.dataset.licence})),
        )
        return _started(dataset, recipe, 1, actor)


def mix_without_leak(*, actor: User | None, version: DatasetVersion, kind: str, notes: str) -> DatasetVersion:
    """The same mix once more, without the training rows that share `kind` ("prompt", "group", "time") with its test.

    A second press finds what the first one made.
    """
    recipe = {**version.recipe, "drop_leaks": sorted({*version.recipe.get("drop_leaks", ()), kind})}
    with transaction.atomic():
        dataset = Dataset.objects.select_for_update().get(pk=version.dataset_id)
        made = DatasetVersion.objects.filter(dataset=dataset).exclude(state=VersionState.FAILED)
        for mended in made.order_by("-number")[:20]:
            if mended.recipe == recipe:
                return mended
        number = DatasetVersion.objects.filter(dataset=dataset).aggregate(n=Max("number"))["n"] + 1
        return _started(dataset, recipe, number, actor, notes)


def _started(
    dataset: Dataset, recipe: dict[str, Any], number: int, actor: User | None, notes: str = ""
) -> DatasetVersion:
    version = DatasetVersion.objects.create(
        team=dataset.team,
        dataset=dataset,
        number=number,
        recipe=recipe,
        task_kind=recipe["task_kind"],
        notes=notes,
        report={"blockers": []},
        created_by=actor,
    )
    version.job = start_job(
        actor=actor,
        team=dataset.team,
        kind="datasets.mix",
        title=f"Mix {dataset.name}",
        recipe={"version": version.pk},
        subject=version,
        url=reverse("datasets:version-detail", args=[version.pk]),
        dedupe_key=f"mix:{version.pk}",
    )
    version.save(update_fields=["job"])
    audit.record(actor=actor, team=dataset.team, verb="version.started", target=version, note="mixed")
    return version


def build_mix(
    *,
    version: DatasetVersion,
    progress: Callable[[str], None],
    still_mine: Callable[[], None] = lambda: None,
) -> Frozen | None:
    """Compose and write the rows of a mixed version; they count once it is flipped. None when it is frozen already.

    `still_mine` raises where another worker took over.
    """
    version.refresh_from_db()
    if version.state != VersionState.BUILDING:
        return None
    clear_rows(version, still_mine=still_mine)
    mix, seed = version.recipe["mix"], version.recipe["seed"]
    loaded: list[dict[str, Any]] = []
    for member in mix["tasks"]:
        progress(f"Reading {member['task']}")
        rows = VersionRow.objects.filter(version_id=member["version"]).order_by("split", "position")
        columns = rows.values_list(
            "split", "label", "group", "at", "content_id", "content__digest", "content__system", "content__turns",
            "content__prompt", "content__completion", "content__extra",
        )  # fmt: skip
        loaded += [_row(member["task"], row) for row in columns.iterator(chunk_size=5000)]
    recipe = Recipe.from_json(version.recipe)
    for row, root in zip(loaded, _near_roots(loaded, recipe, progress), strict=True):
        row["near"] = root
    # What another task tests on, in the same words or nearly, is not learnt from. A test is never cut.
    tasks, splits = [row["task"] for row in loaded], [row["split"] for row in loaded]
    left_out: dict[str, int] = {}
    gone: set[int] = set()
    for kind, name in (("prompt", "asked"), ("near-duplicate", "near")):
        found = known_elsewhere([row[name] for row in loaded], tasks, splits) - gone
        if found:
            left_out[kind] = len(found)
        gone |= found
    for kind in recipe.drop_leaks:
        found = _leaking(kind, loaded) - gone
        if found:
            left_out[kind] = left_out.get(kind, 0) + len(found)
        gone |= found
    free = [row for i, row in enumerate(loaded) if i not in gone]
    trained = Counter(row["task"] for row in loaded if row["split"] == Split.TRAIN)
    names = [member["task"] for member in mix["tasks"]]
    allowed = quotas([trained[name] for name in names], temperature=mix["temperature"], most=mix["most"])
    chosen = [row for row in free if row["split"] != Split.TRAIN]
    for name, quota in zip(names, allowed, strict=True):
        train = [row for row in free if row["task"] == name and row["split"] == Split.TRAIN]
        chosen += sorted(train, key=lambda row: rank(seed, row["digest"]))[:quota]
    order = {
        s.value: sorted((r for r in chosen if r["split"] == s), key=lambda r: rank(seed, r["digest"]))
        for s in SPLITS
    }
    frozen = _frozen(version, order, left_out)
    team = version.team_id
    for split in SPLITS:
        for start in range(0, len(order[split]), bulk.ROWS_A_TRANSACTION):
            part = order[split][start : start + bulk.ROWS_A_TRANSACTION]
            progress("Writing rows")
            with transaction.atomic():
                hold_building(version)
                ids = bulk.reserve_ids(Content, len(part))
                bulk.insert(
                    Content, _CONTENT, [(key, team, *r["content"]) for key, r in zip(ids, part, strict=True)]
                )
                bulk.insert(
                    VersionRow,
                    _ROW,
                    [
                        (
                            version.pk,
                            key,
                            None,
                            r["label"],
                            r["task"],
                            bulk.moment(r["at"]),
                            split.value,
                            start + i,
                        )
                        for i, (key, r) in enumerate(zip(ids, part, strict=True))
                    ],
                )
    return frozen


def _leaking(kind: str, rows: Sequence[dict[str, Any]]) -> set[int]:
    """Positions of the rows whose going ends one kind of leak. Each task has a clock of its own."""
    if kind != "time":
        keys = [row["asked" if kind == "prompt" else "group"] for row in rows]
        return to_leave_out(kind, keys, [row["split"] for row in rows])
    out: set[int] = set()
    for at in _by_task(rows):
        times, splits = [rows[i]["at"] for i in at], [rows[i]["split"] for i in at]
        out |= {at[i] for i in to_leave_out(kind, (), splits, times)}
    return out


def _by_task(rows: Sequence[dict[str, Any]]) -> Iterable[list[int]]:
    places: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        places.setdefault(row["task"], []).append(i)
    return places.values()


def task_for(learnt_from: DatasetVersion, asked: DatasetVersion) -> str:
    """The task that rows of `asked` are to one who learnt from a mix of it; "" where nothing must be added.

    Rows of a mixed version name their task themselves. Another version of a member's dataset is the same task, unless
    two of its versions were mixed as different ones.
    """
    mix = (learnt_from.recipe or {}).get("mix")
    if not mix or "mix" in (asked.recipe or {}):
        return ""
    named = {member["version"]: member["task"] for member in mix["tasks"]}
    if asked.pk in named:
        return named[asked.pk]
    members = DatasetVersion.objects.filter(pk__in=named, dataset_id=asked.dataset_id)
    tasks = {named[pk] for pk in members.values_list("pk", flat=True)}
    return tasks.pop() if len(tasks) == 1 else ""


def _row(task: str, row: Sequence[Any]) -> dict[str, Any]:
    split, label, group, at, content_id, original, system, turns, prompt, completion, extra = row
    text = prefixed(task, prompt)
    key = digest(system, turns, text, completion, extra)
    return {
        "task": task,
        "split": split,
        "label": label,
        "group": group,
        "at": at,
        "content_id": content_id,
        "digest": key,
        # Without the prefix, by which no two tasks would ever share a row.
        "original": bytes(original),
        "asked": loose(prompt),
        "answered": loose(completion),
        "content": (key, system, turns, text, completion, extra, len(text) + len(completion)),
        "lengths": (len(text), len(completion)),
    }


def _near_roots(rows: Sequence[dict[str, Any]], recipe: Recipe, progress: Callable[[str], None]) -> list[int]:
    """Which rows are nearly the same, whatever their tasks: a number each, equal within a cluster."""

    def texts(at: Sequence[int]) -> list[str]:
        return texts_of([rows[i]["content_id"] for i in at], recipe.task_kind)

    finder = NearDuplicates(recipe.near_threshold)
    for start in range(0, len(rows), 10_000):
        progress("Comparing rows")
        finder.add(texts(range(start, min(len(rows), start + 10_000))))
    found: list[int] = finder.clusters(texts, beat=lambda: progress("Comparing rows")).roots().tolist()
    return found


def _frozen(
    version: DatasetVersion, order: dict[str, list[dict[str, Any]]], left_out: dict[str, int]
) -> Frozen:
    rows = [row for split in SPLITS for row in order[split]]
    splits = [row["split"] for row in rows]
    labels = [row["label"] for row in rows]
    n_test = len(order[Split.TEST])
    found = leakage(
        digests=[row["original"] for row in rows],
        loose_keys=[(row["asked"], row["answered"]) for row in rows],
        prompt_keys=[row["asked"] for row in rows],
        near_roots=[row["near"] for row in rows],
        groups=[row["group"] for row in rows],
        times=[row["at"] for row in rows],
        splits=splits,
    ).as_json()
    # One task's clock says nothing about another's.
    found["n_from_the_future"] = sum(
        from_the_future([rows[i]["at"] for i in at], [splits[i] for i in at]) for at in _by_task(rows)
    )
    for kind in ("exact", "loose", "prompt", "near", "group"):
        found[kind]["examples"] = []
    alike = Counter(row["near"] for row in rows)
    numbers = stats([row["lengths"][0] for row in rows], [row["lengths"][1] for row in rows], labels)
    tasks = {
        member["task"]: {s.value: sum(r["task"] == member["task"] for r in order[s]) for s in SPLITS}
        for member in version.recipe["mix"]["tasks"]
    }
    report = {
        "leakage": found,
        "power": {
            "n_test": n_test,
            "power": round(mcnemar_power(n_test), 4),
            "needed": rows_needed(),
            "sentence": power_sentence(n_test),
            "ratios": [round(len(order[s]) / max(1, len(rows)), 6) for s in SPLITS],
            "raised": False,
        },
        "distribution": {
            "whole": numbers.labels,
            **{
                s.value: dict(Counter(r["label"] for r in order[s] if r["label"]).most_common())
                for s in SPLITS
            },
        },
        "left_out": {"exact_duplicates": 0, "leaks": left_out},
        "units": {
            "near_groups": sum(n > 1 for n in alike.values()),
            "largest": max(alike.values(), default=0),
        },
        "tasks": tasks,
    }
    # The names of tasks stand in the texts, so the rows' digests tell them; where a version lies does not matter.
    whole = checksum(
        Recipe.from_json(version.recipe),
        ((r["split"], r["digest"], r["label"]) for s in SPLITS for r in order[s]),
    )
    sizes = {s.value: len(order[s]) for s in SPLITS}
    return Frozen(len(rows), sizes, report, numbers.as_json(), whole, list(numbers.labels))


def offered(use_case: UseCase) -> list[DatasetVersion]:
    """The newest frozen version of each of the team's datasets of this kind of task, the newest first."""
    rows = (
        DatasetVersion.objects.frozen()
        .filter(team=use_case.team_id, task_kind=use_case.task_kind, dataset__archived_at=None)
        .select_related("dataset")
        .order_by("-pk")[:200]
    )
    newest: dict[int, DatasetVersion] = {}
    for row in rows:
        if "mix" not in (row.recipe or {}):
            newest.setdefault(row.dataset_id, row)
    return list(newest.values())[:50]
