"""`covalign reproduce`: figures and tables of the papers, and which of their claims hold."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from covalign.cli import options, places, saying, sharing, speaking
from covalign.errors import InputError
from covalign.papers.catalogue import NAMES, exhibit
from covalign.papers.reproduction import Plan, plan
from covalign.papers.reproduction import redraw as drawn_again
from covalign.papers.reproduction import reproduce as reproduced
from covalign.papers.scales.named import scale as scale_named
from covalign.progress import duration
from covalign.storage.results import DOCUMENT
from covalign.training.store import RunStore


def reproduce(
    *names: str,
    scale: str = "smoke",
    images: list[str] | None = None,
    out: Path = Path("covalign-papers"),
    list_: Annotated[bool, Parameter(name="--list", negative=())] = False,
    redraw: bool = False,
    workers: int | None = None,
    scheduler: sharing.Scheduler = None,
    seed: int = 0,
    store: places.Store = places.STORE,
    machine: options.Machine = options.HERE,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    manner: saying.Manner = saying.PLAIN,
) -> None:
    """Reproduce figures and tables of the two papers, and check their claims.

    Trains what is missing (trainings are shared between figures, kept, and resumed), measures, draws, and says which
    claims hold. OUT/NAME gets the figure as PNG and PDF, results.json with the claims, and the numbers behind both.

    Args:
        names: of figures and tables, or all; --list shows them.
        scale: smoke checks the machinery on embedded photographs, laptop takes hours on two cores, paper is the
            published specification.
        images: ROLE=DATA, for a role of the scale, such as cifar10=FOLDER; --list names the roles.
        out: folder of the results, one folder a name.
        list_: show names, needs and estimates of time, memory and disk; start nothing.
        redraw: draw kept results again from their numbers, without networks.
        workers: trainings side by side; as many as there are cores by default.
        seed: of the measurements; the seeds of trainings are part of each exhibit.
        overwrite: replace results of another scale.
    """
    machine.ready()
    wanted = NAMES if "all" in names or (list_ and not names) else names
    sources = _by_role(images or [])
    if list_:
        _show_plans(wanted, scale, sources, RunStore(store), manner)
        return
    if not wanted:
        raise InputError(f"reproduce: got no names, expected all, or some of {', '.join(NAMES)}")
    scale_named(scale)
    if redraw:
        found = [drawn_again(name, out) for name in wanted]
    else:
        for name in wanted:
            exhibit(name)
            _keep_other_scales(out / name, scale, overwrite)
        with speaking.place(out, manner=manner) as folder, manner.progress() as told:
            found = reproduced(
                wanted,
                scale,
                sources,
                RunStore(store),
                folder,
                workers=workers,
                scheduler=scheduler,
                seed=seed,
                command=speaking.typed(),
                device=machine.device,
                progress=told,
            )
    if manner.json:
        results = [{"name": e.name, "path": e.folder, "claims": [asdict(c) for c in e.claims]} for e in found]
        saying.print_json({"path": out, "results": results})
        return
    for each in found:
        print(each.folder)
        for claim in () if manner.quiet else each.claims:
            print(f"  {claim.verdict}: {claim.sentence}")


def _keep_other_scales(folder: Path, scale: str, overwrite: bool) -> None:
    """Refuse to replace what was measured at another scale."""
    try:
        kept = json.loads((folder / DOCUMENT).read_text(encoding="utf-8"))["scale"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if kept != scale and not overwrite:
        raise InputError(
            f"--out: {folder} holds results of the {kept} scale; give another folder, or --overwrite to replace them"
        )


def _by_role(images: list[str]) -> dict[str, str]:
    """Return DATA by role."""
    for entry in images:
        if "=" not in entry:
            raise InputError(f"--images: got {entry!r}, expected ROLE=DATA, such as cifar10=FOLDER")
    return {role: data for role, _, data in (entry.partition("=") for entry in images)}


def _show_plans(
    names: Sequence[str], size: str, sources: dict[str, str], store: RunStore, manner: saying.Manner
) -> None:
    """Print what exhibits need and will cost."""
    chosen = scale_named(size)
    if manner.json:
        plans = {name: asdict(plan([name], chosen, sources, store)) for name in names}
        saying.print_json(
            {"scale": size, "plans": plans, "together": asdict(plan(names, chosen, sources, store))}
        )
        return
    for name in names:
        print(f"{name}: {exhibit(name).title}\n    {exhibit(name).source}")
        print(_cost(plan([name], chosen, sources, store)))
    if len(names) > 1:
        print("together, networks that several names need trained once:")
        print(_cost(plan(names, chosen, sources, store)))
    print("Roles of this scale, for --images ROLE=DATA:")
    for role in dict.fromkeys(data.role for data in chosen.data.values()):
        sets = [name for name, data in chosen.data.items() if data.role == role]
        source = sources.get(role) or next(d.source for d in chosen.data.values() if d.role == role)
        print(f"  {role}: {source} ({', '.join(sets)})")


def _cost(planned: Plan) -> str:
    memory, disk = (f"{size / 2**30:.2f} GB" for size in (planned.cost.memory, planned.cost.disk))
    return (
        f"    {planned.networks} networks, {planned.stored} of them in the store; the others take about "
        f"{duration(planned.cost.seconds)} of one core, {memory} of memory each, {disk} of disk"
    )
