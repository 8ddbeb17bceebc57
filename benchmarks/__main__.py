"""Measure scenarios and print their tables: `python -m benchmarks [scenario ...]`."""

import argparse
import gc
import json
import os
import platform
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import uvloop

from benchmarks import system
from benchmarks.goals import judge, load_goals
from benchmarks.measure import CaseRun
from benchmarks.model import CaseResult, Comparison, Options
from benchmarks.redis_server import server_version
from benchmarks.scenarios import SCENARIOS
from benchmarks.table import case_table, goal_table

README = Path(__file__).with_name("README.md")
FIGURES = "<!-- figures: everything below is written by `run.py --readme` -->\n"
PEERS = (
    *("uvicorn", "uvloop", "httptools", "websockets", "Django", "channels"),
    *("redis", "hiredis", "channels_redis"),
)


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description=__doc__)
    parser.add_argument(
        "scenarios",
        nargs="*",
        metavar="scenario",
        help=f"{', '.join(SCENARIOS)}, or the name of a case such as 'fanout 500'; all without any",
    )
    parser.add_argument("--rounds", type=int, default=5, help="fresh servers, so often (5)")
    parser.add_argument("--turns", type=int, default=12, help="turns of each peer in a round (12)")
    parser.add_argument("--seconds", type=float, default=0.2, help="length of a turn (0.2)")
    parser.add_argument("--quick", action="store_true", help="2 rounds with 1 turn of 0.3 s")
    parser.add_argument("--ws", default="websockets-sansio", help="uvicorn's WebSocket class")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the samples, one a line")
    parser.add_argument("--readme", action="store_true", help="put the tables into README.md")
    arguments = parser.parse_args()
    system.raise_file_limit()
    server_core, client_core = system.cores()
    system.pin(client_core)
    options = Options(
        rounds=2 if arguments.quick else arguments.rounds,
        turns=1 if arguments.quick else arguments.turns,
        seconds=0.3 if arguments.quick else arguments.seconds,
        ws=arguments.ws,
        server_core=server_core,
        client_core=client_core,
    )
    try:
        cases = chosen_cases(arguments.scenarios)
    except LookupError as exc:
        parser.error(str(exc))
    conditions = setting(options)
    print(conditions, flush=True)
    results = uvloop.run(measure(cases, options))
    goals = goal_table(judge(load_goals(), results))
    print(goals)
    if arguments.json:
        write_samples(arguments.json, results)
    if arguments.readme:
        write_figures(README, "\n".join([conditions, goals, *map(case_table, results)]))
    sys.exit(any(result.failures for result in results))


def chosen_cases(names: list[str]) -> list[Comparison]:
    """Return the cases of the named scenarios, or single cases by their own name.

    Raises:
        LookupError: A name is neither.
    """
    cases = {scenario: make() for scenario, make in SCENARIOS.items()}
    every = [case for made in cases.values() for case in made]
    singles = {case.name: [case] for case in every}
    known = singles | cases
    if unknown := [name for name in names if name not in known]:
        raise LookupError(f"no scenario {unknown[0]!r}; there are: {', '.join(known)}")
    return [case for name in names for case in known[name]] if names else every


async def measure(cases: list[Comparison], options: Options) -> list[CaseResult]:
    """Measure the cases one after the other, and print each table when it is there."""
    gc.freeze()
    results = []
    for case in cases:
        result = await CaseRun(case, options).measure()
        print(case_table(result), flush=True)
        results.append(result)
    return results


def setting(options: Options) -> str:
    """Return what the figures depend on: machine, versions, amounts."""
    versions = ", ".join(f"{name} {version(name)}" for name in PEERS)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    pinned = "server and client each on a core" if options.server_core is not None else "one core"
    return (
        f"Python {platform.python_version()}, {versions}, {server_version()}\n"
        f"{platform.platform()}, {os.cpu_count()} cores ({pinned}), load average {load}\n"
        f"{options.rounds} rounds x {options.turns} turns x {options.seconds:g} s, "
        f"--ws {options.ws}\n"
    )


def write_samples(path: Path, results: list[CaseResult]) -> None:
    """Write every sample as one line of JSON."""
    lines = [json.dumps(asdict(sample)) for result in results for sample in result.samples]
    path.write_text("".join(f"{line}\n" for line in lines))


def write_figures(path: Path, figures: str) -> None:
    """Replace what stands below the marker of a file."""
    text, marker, _ = path.read_text().partition(FIGURES)
    path.write_text(f"{text}{marker}\n{figures}")


if __name__ == "__main__":
    main()
