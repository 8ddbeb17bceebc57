"""The results as text: one Markdown table for each case, and one for the goals."""

from benchmarks.goals import Verdict, summarise
from benchmarks.model import CaseResult, Metric

REFERENCES = (
    *("bare ASGI", "plain Django", "Channels 4.3"),
    *("bare pub/sub", "redis-py lists", "channels_redis core"),
)
"""Peers that get a column with everybody's ratio to them."""


def case_table(result: CaseResult) -> str:
    """Return the table of one case, with its title and with what failed."""
    case = result.case
    metric = case.metric
    references = [peer.name for peer in case.peers if peer.name in REFERENCES]
    head = ["peer", f"best {metric.label}", "median"]
    head += [f"/ {name}" for name in references]
    head += [column.label for column in case.columns]
    head.append("turns")
    rows = [_row(result, peer.name, references) for peer in case.peers]
    text = f"### {case.name}: {case.title}\n\n{markdown(head, rows)}"
    failures = [f"\n\n{name} failed: {reason}" for name, reason in result.failures.items()]
    return text + "".join(failures) + "\n"


def goal_table(verdicts: list[Verdict]) -> str:
    """Return the table of the goals."""
    rows = [
        [
            verdict.case,
            str(verdict.goal),
            "-" if verdict.value is None else f"{verdict.value:.2f}",
            verdict.outcome,
        ]
        for verdict in verdicts
    ]
    return f"### Goals\n\n{markdown(['case', 'goal', 'measured', ''], rows)}\n"


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table whose columns also line up as plain text."""
    lines = [head, *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(head))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"
        for line in (head, rule, *rows)
    )


def _row(result: CaseResult, peer: str, references: list[str]) -> list[str]:
    metric = result.case.metric
    best = summarise(result, peer, metric.key, "best")
    cells = [peer, _figure(best, metric), _figure(_median(result, peer, metric), metric)]
    for reference in references:
        other = summarise(result, reference, metric.key, "best")
        cells.append("-" if best is None or not other else f"{best / other:.2f}")
    cells += [_figure(_median(result, peer, column), column) for column in result.case.columns]
    cells.append(str(len(result.values(peer, metric.key))))
    return cells


def _median(result: CaseResult, peer: str, metric: Metric) -> float | None:
    return summarise(result, peer, metric.key, "median")


def _figure(value: float | None, metric: Metric) -> str:
    return "-" if value is None else f"{value:,.{metric.digits}f}"
