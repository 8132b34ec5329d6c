"""`covalign runs`: which trainings are stored?"""

import itertools
import json
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from covalign.cli import options, speaking
from covalign.errors import printable
from covalign.storage.caches import cache_folder, cached_files
from covalign.training.store import Entry, RunStore, load_run


def list_runs(*, store: options.Store = options.STORE, manner: speaking.Manner = speaking.PLAIN) -> None:
    """List stored trainings: key, images, seed, epochs, accuracy."""
    found = [_listed(entry) for entry in RunStore(store).entries()]
    if manner.json:
        speaking.print_json(found)
        return
    if manner.quiet:
        print("".join(f"{each['key']}\n" for each in found), end="")
        return
    table = Table("key", "images", "labels", "seed", "epochs", "train", "test")
    for each in found:
        if "images" not in each:
            problem = f"unreadable: {each['problem']}" if each["problem"] else "nothing kept yet"
            table.add_row(escape(each["key"]), escape(printable(problem)), "", "", "", "", "")
            continue
        accuracies = (each["train_accuracy"], each["test_accuracy"])
        table.add_row(
            each["key"][:12],
            escape(printable(each["images"])),
            each["labels"],
            str(each["seed"]),
            f"{each['epochs_done']}/{each['epochs']}",
            *("" if value is None else f"{value:.1%}" for value in accuracies),
        )
    Console().print(table)
    if not found:
        print(f"{store} holds no trainings yet; covalign train demo --images photos:a makes one")


def _listed(entry: Entry) -> dict[str, Any]:
    """Return what a list says of an entry; without anything but its problem where it cannot be read."""
    head = {"key": entry.path.name, "path": str(entry.path), "problem": entry.problem}
    if entry.run is None:
        return head
    run = entry.run
    measured = [epoch.test_accuracy for epoch in run.history if epoch.test_accuracy is not None]
    return head | {
        "images": run.details["images"]["name"],
        "labels": run.spec.labels,
        "seed": run.spec.seed,
        "epochs_done": len(run.history),
        "epochs": run.spec.epochs,
        "train_accuracy": run.history[-1].train_accuracy if run.history else None,
        "test_accuracy": measured[-1] if measured else None,
    }


def show_run(key: str, /, *, store: options.Store = options.STORE) -> None:
    """Print a training's spec, provenance and history as JSON.

    Args:
        key: the first digits of the run's key, or its folder.
    """
    run = load_run(key, RunStore(store))
    print(json.dumps({**run.details, "history": [asdict(epoch) for epoch in run.history]}, indent=1))


def sweep_runs(
    *,
    delete: bool = False,
    cache: bool = False,
    store: options.Store = options.STORE,
    manner: speaking.Manner = speaking.PLAIN,
) -> None:
    """List files that killed processes left behind; runs themselves are never touched.

    Args:
        delete: remove them.
        cache: list what is cached instead (decoded images, compared pairs), which costs time alone to make again.
    """
    if cache:
        _sweep_cache(delete, manner)
        return
    leftovers = RunStore(store).leftovers(delete=delete)
    if manner.json:
        speaking.print_json({"leftovers": leftovers, "deleted": delete})
        return
    for path in leftovers:
        print(printable(str(path)))
    if not manner.quiet:
        print(
            f"{len(leftovers)} leftover files {'deleted' if delete else 'found; delete them with --delete'}"
        )


def _sweep_cache(delete: bool, manner: speaking.Manner) -> None:
    found = cached_files()
    sizes = {kind: sum(path.stat().st_size for path in paths) for kind, paths in found.items()}
    for path in itertools.chain.from_iterable(found.values()) if delete else ():
        path.unlink(missing_ok=True)
    if manner.json:
        counts = {kind: {"files": len(paths), "bytes": sizes[kind]} for kind, paths in found.items()}
        speaking.print_json({"cache": counts, "deleted": delete})
        return
    for kind, paths in found.items():
        print(
            f"{kind}: {len(paths)} files, {sizes[kind] / 2**20:.1f} MB, {printable(str(cache_folder(kind)))}"
        )
    if not manner.quiet:
        print("deleted" if delete else "delete them with --delete")
