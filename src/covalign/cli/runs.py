"""`covalign runs`: which trainings are stored?"""

import json
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from covalign.cli import options
from covalign.errors import printable
from covalign.training.store import RunStore, load_run


def list_runs(*, store: options.Store = options.STORE) -> None:
    """List stored trainings: key, images, seed, epochs, accuracy."""
    table = Table("key", "images", "labels", "seed", "epochs", "train", "test")
    for entry in RunStore(store).entries():
        if entry.run is None:
            problem = f"unreadable: {entry.problem}" if entry.problem else "nothing kept yet"
            table.add_row(escape(entry.path.name), escape(printable(problem)), "", "", "", "", "")
            continue
        run = entry.run
        last = run.history[-1] if run.history else None
        measured = [epoch.test_accuracy for epoch in run.history if epoch.test_accuracy is not None]
        table.add_row(
            run.key[:12],
            escape(printable(run.details["images"]["name"])),
            run.spec.labels,
            str(run.spec.seed),
            f"{len(run.history)}/{run.spec.epochs}",
            f"{last.train_accuracy:.1%}" if last else "",
            f"{measured[-1]:.1%}" if measured else "",
        )
    Console().print(table)


def show_run(key: str, /, *, store: options.Store = options.STORE) -> None:
    """Print a training's spec, provenance and history as JSON.

    Args:
        key: the first digits of the run's key, or its folder.
    """
    run = load_run(key, RunStore(store))
    print(json.dumps({**run.details, "history": [asdict(epoch) for epoch in run.history]}, indent=1))


def sweep_runs(*, delete: bool = False, store: options.Store = options.STORE) -> None:
    """List files that killed processes left behind; runs themselves are never touched.

    Args:
        delete: remove them.
    """
    leftovers = RunStore(store).leftovers(delete=delete)
    for path in leftovers:
        print(printable(str(path)))
    print(f"{len(leftovers)} leftover files {'deleted' if delete else 'found; delete them with --delete'}")
