"""What every training backend promises: a name, a schema of settings, an estimate, and a model in the end.

The schema makes the form and the checks, so that a new backend needs no page of its own. Knows no table.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from decisions.domain.facts import TaskKind
from foundation.teams.errors import BadInput


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: what it is, what it may be, what it is when nobody says.

    `type` is one of integer, number, numbers (a list), choice, yes_no. Numbers have limits; choices have words.
    """

    name: str
    title: str
    type: str
    default: Any
    help: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[tuple[str, str], ...] = ()
    is_advanced: bool = False

    def read(self, value: Any) -> Any:
        """The value as this setting takes it. Raises BadInput naming the field, what is wrong and what would do."""
        try:
            found = self._read(value)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise BadInput(f"{self.title}: {value!r} is not {_WANTED[self.type]}.", field=self.name) from None
        for number in found if isinstance(found, tuple) else (found,):
            self._check_limits(number)
        return list(found) if isinstance(found, tuple) else found

    def _read(self, value: Any) -> Any:
        if self.type == "integer":
            if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
                raise ValueError
            return int(value)
        if self.type == "number":
            return _number(value)
        if self.type == "numbers":
            parts = value.replace(";", ",").split(",") if isinstance(value, str) else list(value)
            found = tuple(sorted({_number(part) for part in parts if str(part).strip()}))
            if not 1 <= len(found) <= 12:
                raise BadInput(f"{self.title}: give one to twelve numbers.", field=self.name)
            return found
        if self.type == "yes_no":
            if isinstance(value, str):
                return {"true": True, "on": True, "yes": True, "false": False, "no": False, "": False}[
                    value.lower()
                ]
            return bool(value)
        if str(value) not in dict(self.choices):
            words = ", ".join(key for key, _ in self.choices)
            raise BadInput(f"{self.title}: {value!r} is not one of {words}.", field=self.name)
        return str(value)

    def _check_limits(self, value: Any) -> None:
        if isinstance(value, bool | str):
            return
        if self.low is not None and value < self.low:
            raise BadInput(f"{self.title}: {value:g} is below {self.low:g}.", field=self.name)
        if self.high is not None and value > self.high:
            raise BadInput(f"{self.title}: {value:g} is above {self.high:g}.", field=self.name)

    def shown(self, value: Any) -> str:
        """The value in words."""
        if self.type == "choice":
            return dict(self.choices).get(str(value), str(value))
        if self.type == "yes_no":
            return "yes" if value else "no"
        if self.type == "numbers":
            return ", ".join(f"{v:g}" for v in value)
        return f"{value:g}" if isinstance(value, float) else f"{value:,}"


_WANTED = {
    "integer": "a whole number",
    "number": "a number",
    "numbers": "a list of numbers such as 0.3, 1, 3",
    "yes_no": "yes or no",
    "choice": "one of the choices",
}


def _number(value: Any) -> float:
    found = float(value)
    if found != found or found in (float("inf"), float("-inf")):
        raise ValueError
    return found


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will take, before it starts. `seconds` None: nobody can say."""

    seconds: float | None
    cost_microusd: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rows of the version a run would use."""

    train: int
    validation: int
    labels: int = 0


@dataclass(frozen=True, slots=True)
class Backend(ABC):
    """One way to train. `tasks` are the kinds of task it can learn."""

    name: str
    title: str
    description: str
    tasks: frozenset[TaskKind]
    schema: tuple[Setting, ...] = field(default=())
    # One sentence why it cannot be started here; "" when it can.
    unavailable: str = ""
    # Micro-dollars for a second of the machine; 0 at home, recorded all the same.
    rate_microusd_per_s: int = 0

    def defaults(self) -> dict[str, Any]:
        """Every setting as it is when nobody says."""
        return {s.name: list(s.default) if isinstance(s.default, tuple) else s.default for s in self.schema}

    def validate(self, settings: Mapping[str, Any] | None) -> dict[str, Any]:
        """Complete settings: the given ones checked and laid over the defaults, never instead of them (D29).

        Raises: BadInput for an unknown name or a value outside its limits.
        """
        known = {s.name: s for s in self.schema}
        complete = self.defaults()
        for name, value in (settings or {}).items():
            if name not in known:
                raise BadInput(
                    f"{self.title} has no setting called {name!r}. It has: {', '.join(known)}.", field=name
                )
            complete[name] = known[name].read(value)
        return complete

    def shown(self, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Settings as pairs of title and value in words, for pages."""
        return [(s.title, s.shown(settings.get(s.name, s.default))) for s in self.schema]

    @abstractmethod
    def estimate(self, sizes: Sizes, settings: Mapping[str, Any]) -> Estimate:
        """Time and money a run over rows of these sizes will take."""

    @abstractmethod
    def train(self, train: list[Any], validation: list[Any], settings: Mapping[str, Any], **rest: Any) -> Any:
        """A trained model and its figures. Local backends run this in their own process, see `fitting.py`."""


_backends: dict[str, Backend] = {}


def register_backends(backends: Iterable[Backend]) -> None:
    """Make backends known by name; the same one twice is harmless."""
    for backend in backends:
        _backends[backend.name] = backend


def get_backend(name: str) -> Backend:
    """The backend called `name`. Raises BadInput."""
    try:
        return _backends[name]
    except KeyError:
        known = ", ".join(sorted(_backends))
        raise BadInput(
            f"There is no training backend called {name!r}. There is: {known}.", field="backend"
        ) from None


def backends_for(task: TaskKind | str) -> list[Backend]:
    """Backends that can learn this kind of task, those that can be started here first."""
    found = [b for b in _backends.values() if TaskKind(task) in b.tasks]
    return sorted(found, key=lambda b: bool(b.unavailable))
