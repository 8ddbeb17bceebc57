"""The goals, and whether what was measured meets them."""

import statistics
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.model import CaseResult

GOALS = Path(__file__).with_name("goals.toml")

Statistic = Literal["best", "median", "worst", "paired"]
Kind = Literal["ratio", "difference"]


@dataclass(frozen=True)
class Goal:
    """One line of `goals.toml`, where the fields are explained."""

    cases: tuple[str, ...]
    peer: str
    metric: str
    against: str | None = None
    kind: Kind = "ratio"
    at_most: float | None = None
    at_least: float | None = None
    statistic: Statistic = "best"

    def __str__(self) -> str:
        """Return the goal as a reader of the table wants it."""
        sign, bound = self._bound()
        what = f"{self.peer}: {self.statistic} {self.metric} {sign}"
        if self.against is None:
            return f"{what} {bound:g}"
        if self.kind == "difference":
            return f"{what} {self.against} + {bound:g}"
        return f"{what} {bound:g}x {self.against}"

    def met_by(self, value: float) -> bool:
        """Whether a measured value is within the bound."""
        sign, bound = self._bound()
        return value <= bound if sign == "<=" else value >= bound

    def _bound(self) -> tuple[str, float]:
        if self.at_most is not None:
            return "<=", self.at_most
        assert self.at_least is not None
        return ">=", self.at_least


@dataclass(frozen=True)
class Verdict:
    """A goal applied to one case; `value` is `None` where something was not measured."""

    goal: Goal
    case: str
    value: float | None

    @property
    def outcome(self) -> str:
        """The verdict in words."""
        if self.value is None:
            return "not measured"
        return "met" if self.goal.met_by(self.value) else "not met"


def load_goals(path: Path = GOALS) -> list[Goal]:
    """Read the goals from their file."""
    lines = tomllib.loads(path.read_text())["goal"]
    return [Goal(**{**line, "cases": tuple(line["cases"])}) for line in lines]


def judge(goals: list[Goal], results: list[CaseResult]) -> list[Verdict]:
    """Apply each goal to each of its cases among the results."""
    by_name = {result.case.name: result for result in results}
    return [
        Verdict(goal, name, _value(goal, by_name[name]))
        for goal in goals
        for name in goal.cases
        if name in by_name
    ]


def summarise(result: CaseResult, peer: str, metric: str, statistic: Statistic) -> float | None:
    """Return one figure for a peer's samples of a metric, or `None` without samples."""
    values = result.values(peer, metric)
    if not values:
        return None
    if statistic == "median":
        return statistics.median(values)
    known = (result.case.metric, *result.case.columns)
    lower_is_better = next(m.lower_is_better for m in known if m.key == metric)
    return min(values) if lower_is_better is (statistic == "best") else max(values)


def _value(goal: Goal, result: CaseResult) -> float | None:
    if goal.statistic == "paired":
        return _paired(goal, result)
    own = summarise(result, goal.peer, goal.metric, goal.statistic)
    if goal.against is None or own is None:
        return own
    other = summarise(result, goal.against, goal.metric, goal.statistic)
    if other is None:
        return None
    return own - other if goal.kind == "difference" else own / other


def _paired(goal: Goal, result: CaseResult) -> float | None:
    """Return the median of the ratios of turns that followed each other."""
    assert goal.against is not None
    own = result.values(goal.peer, goal.metric)
    other = result.values(goal.against, goal.metric)
    if not own or len(own) != len(other):
        return None
    return statistics.median(mine / its for mine, its in zip(own, other, strict=True))
