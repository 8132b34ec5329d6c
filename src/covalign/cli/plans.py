"""How does a command say what it would do, before it does it?"""

from collections.abc import Sequence
from dataclasses import asdict
from math import comb
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from covalign.cli import saying
from covalign.errors import printable
from covalign.progress import duration
from covalign.report.words import count
from covalign.training.plan import Plan, State


def show_plan(plan: Plan, manner: saying.Manner, foreign: int = 0, following: Sequence[str] = ()) -> None:
    """Print what a store has of a population, and what the rest would cost; nothing is written.

    Args:
        plan: of the trainings.
        manner: how the command speaks.
        foreign: networks from elsewhere.
        following: sentences on what comes after the trainings.
    """
    said = [
        *_summary(plan),
        *([f"{count(foreign, 'network')} from elsewhere."] if foreign else []),
        *following,
    ]
    if manner.json:
        saying.print_json({"networks": [_row(each) for each in plan.networks], "findings": said})
        return
    table = Table("condition", "networks", *(state.value for state in State), "time left")
    for condition in dict.fromkeys(each.network.condition for each in plan.networks):
        own = Plan(tuple(each for each in plan.networks if each.network.condition == condition))
        amounts = [str(own.count(state)) for state in State]
        left = duration(own.cost.seconds) if own.missing else ""
        table.add_row(escape(printable(condition)), str(len(own.networks)), *amounts, left)
    if not manner.quiet:
        Console().print(table)
    print("\n".join(said))


def comparisons(networks: int) -> str:
    """Say how many pairs a comparison has."""
    return f"{count(comb(networks, 2), 'pair')} of networks to compare; the time of that is not known beforehand."


def _summary(plan: Plan) -> list[str]:
    """Say what is there, what is missing, and the cost of it."""
    found, begun, total = plan.count(State.FINISHED), plan.count(State.BEGUN), len(plan.networks)
    there = (
        f"{count(total, 'network')}, {found} of them trained" + (f", {begun} begun" if begun else "") + "."
    )
    if not plan.missing:
        return [there]
    cost, measured = plan.cost, sum(each.measured for each in plan.missing)
    source = "from a timed step of this machine"
    if measured:
        others = f" and, for {len(plan.missing) - measured}, {source}" if measured < len(plan.missing) else ""
        source = f"from trainings in the store{others}"
    memory, disk = (f"{size / 2**20:,.0f} MB" for size in (cost.memory, cost.disk))
    rest = (
        f"The rest takes about {duration(cost.seconds)}, one after the other ({source}), {memory} of memory each and "
        f"{disk} of disk."
    )
    return [there, rest]


def _row(planned: Any) -> dict[str, Any]:
    run = planned.run
    return {
        "name": planned.network.name,
        "condition": planned.network.condition,
        "seed": planned.network.spec.seed,
        "state": planned.state.value,
        "key": run.key if run else None,
        "epochs_done": len(run.history) if run else 0,
        "time_measured": planned.measured,
        **asdict(planned.cost),
    }
