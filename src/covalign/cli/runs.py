"""`covalign runs`: which trainings are stored?"""

import itertools
import json
from pathlib import Path
from typing import Any

from covalign.cli import places, saying
from covalign.errors import printable
from covalign.report.words import count
from covalign.storage.caches import cache_folder, cached_files
from covalign.storage.folder import Folder
from covalign.training.shelf import Listed, Shelf, document_of

HEADINGS = ["key", "epochs", "train", "test", "seed", "labels", "images"]


def list_runs(*, store: places.Store = places.STORE, manner: saying.Manner = saying.PLAIN) -> None:
    """List stored trainings: key, images, seed, epochs, accuracy."""
    found = [_listed(entry) for entry in Shelf(store).listed()]
    if manner.json:
        saying.print_json(found)
        return
    if manner.quiet:
        print("".join(f"{each['key']}\n" for each in found), end="")
        return
    if found:
        saying.print_table([HEADINGS, *map(_row, found)])
    else:
        print(f"{store} holds no trainings yet; covalign train demo --images photos:a makes one")


def _row(found: dict[str, Any]) -> list[str]:
    if "images" not in found:
        problem = f"unreadable: {found['problem']}" if found["problem"] else "nothing kept yet"
        return [found["key"], "", "", "", "", "", printable(problem)]
    accuracies = (found["train_accuracy"], found["test_accuracy"])
    return [
        found["key"][:12],
        f"{found['epochs_done']}/{found['epochs']}",
        *("" if value is None else f"{value:.1%}" for value in accuracies),
        str(found["seed"]),
        found["labels"],
        printable(found["images"]),
    ]


def _listed(entry: Listed) -> dict[str, Any]:
    """Return what a list says of an entry; without anything but its problem where it cannot be read."""
    head = {"key": entry.path.name, "path": str(entry.path), "problem": entry.problem}
    if entry.document is None:
        return head
    spec, history = entry.document["spec"], entry.document["history"]
    measured = [epoch["test_accuracy"] for epoch in history if epoch["test_accuracy"] is not None]
    return head | {
        "images": entry.document["images"]["name"],
        "labels": spec["labels"],
        "seed": spec["seed"],
        "epochs_done": len(history),
        "epochs": spec["epochs"],
        "train_accuracy": history[-1]["train_accuracy"] if history else None,
        "test_accuracy": measured[-1] if measured else None,
    }


def show_run(key: str, /, *, store: places.Store = places.STORE) -> None:
    """Print a training's spec, provenance and history as JSON.

    Args:
        key: the first digits of the run's key, or its folder.
    """
    folder = Path(key) if Path(key).is_dir() else Shelf(store).find(key)
    print(json.dumps(document_of(Folder(folder).committed()), indent=1))


def sweep_runs(
    *,
    delete: bool = False,
    cache: bool = False,
    store: places.Store = places.STORE,
    manner: saying.Manner = saying.PLAIN,
) -> None:
    """List files that killed processes left behind; runs themselves are never touched.

    Args:
        delete: remove them.
        cache: list what is cached instead (decoded images, compared pairs), which costs time alone to make again.
    """
    if cache:
        _sweep_cache(delete, manner)
        return
    leftovers = Shelf(store).leftovers(delete=delete)
    if manner.json:
        saying.print_json({"leftovers": leftovers, "deleted": delete})
        return
    for path in leftovers:
        print(printable(str(path)))
    if not manner.quiet:
        advice = "; delete them with --delete" if leftovers else ""
        print(f"{count(len(leftovers), 'leftover file')} {'deleted' if delete else f'found{advice}'}")


def _sweep_cache(delete: bool, manner: saying.Manner) -> None:
    found = cached_files()
    sizes = {kind: sum(path.stat().st_size for path in paths) for kind, paths in found.items()}
    for path in itertools.chain.from_iterable(found.values()) if delete else ():
        path.unlink(missing_ok=True)
    if manner.json:
        counts = {kind: {"files": len(paths), "bytes": sizes[kind]} for kind, paths in found.items()}
        saying.print_json({"cache": counts, "deleted": delete})
        return
    for kind, paths in found.items():
        print(
            f"{kind}: {len(paths)} files, {sizes[kind] / 2**20:.1f} MB, {printable(str(cache_folder(kind)))}"
        )
    if not manner.quiet:
        print("deleted" if delete else "delete them with --delete")
