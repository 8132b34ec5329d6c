"""How are many networks trained side by side?

Trainings share nothing, so each is a task of its own that fills one entry of the store: in processes of this machine
by default, on a laboratory's cluster by the address of its Dask scheduler (`covalign.tasks`). A task that is repeated
resumes, or returns what is there; one that another process is at is set aside until the others are done, so that the
same population can be begun several times, on as many machines as share the store. Several trainings of one thread
each use a few cores better than one of several threads.
"""

from collections.abc import Sequence

from covalign.progress import Told, shown
from covalign.tasks.executor import Executor, available_cores
from covalign.tasks.outcome import Occupied, Tell, all_found
from covalign.training.loop import train
from covalign.training.run import Run
from covalign.training.spec import TrainingSpec
from covalign.training.store import RunStore, TrainedElsewhere


def train_population(
    specs: Sequence[TrainingSpec],
    store: RunStore,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Told | bool | None = True,
) -> list[Run]:
    """Train every spec, side by side, and return their runs in the same order.

    A training whose process is ended from outside is begun again from its last checkpoint, three times at most.

    Args:
        specs: what to train; paths in them, and the store's, must mean the same on every worker.
        store: where the runs are kept.
        workers: processes; None takes as many as the cores allow. One trains here.
        scheduler: address (``tcp://host:8786``) or file of a running Dask scheduler, whose workers must have one
            thread each, or "local" for one that is started here; None trains in processes of this machine.
        progress: what is told, or whether to show it; see `covalign.progress.shown`.

    Raises:
        InputError: some trainings failed (all others were finished first), or the scheduler cannot be used.
    """
    shared = RunStore(store.root.resolve())
    threads = max((spec.threads for spec in specs), default=1)
    processes = workers if workers is not None else max(1, available_cores() // threads)
    executor = Executor(min(processes, max(1, len(specs))), scheduler)
    with shown(progress) as told, executor.opened() as carry_out:
        count = Count(specs, told)
        outcomes = carry_out(_trained, [(spec, 0.0) for spec in specs], shared, count.heard)
        found = all_found(outcomes, lambda place: _name(place, specs[place]), "trainings")
    return [found[place] for place in range(len(specs))]


def _name(place: int, spec: TrainingSpec) -> str:
    return f"training {place + 1} ({spec.images}, seed {spec.seed})"


def _trained(store: RunStore, item: tuple[TrainingSpec, float], tell: Tell) -> Run:
    spec, patience = item
    try:
        run = train(spec, store, progress=False, on_epoch=lambda row: tell(row.epoch), patience=patience)
    except TrainedElsewhere as elsewhere:
        raise Occupied((spec, PATIENCE)) from elsewhere
    tell(None)
    return run


PATIENCE = 60.0
"""Seconds that a training which another process is at is waited for, once only such trainings are left."""


class Count:
    """Adds up the epochs of all trainings, and tells of each that ends.

    What was found in the store, or was trained before a training resumed, is no work of this call: the share that is
    told is that of the epochs that had to be trained.
    """

    def __init__(self, specs: Sequence[TrainingSpec], told: Told) -> None:
        self.specs = specs
        self.told = told
        self.before: dict[int, int] = {}
        self.done = [0] * len(specs)
        self.finished: dict[int, bool] = {}
        if specs:
            told("trainings", 0.0)

    def heard(self, index: int, epochs: int | None) -> None:
        """Hear that training ``index`` has ``epochs`` epochs behind; None for all of them."""
        if epochs is None:
            self._ended(index)
            return
        self.before.setdefault(index, epochs - 1)
        self.done[index] = max(self.done[index], epochs)
        self._tell("")

    def _ended(self, index: int) -> None:
        spec, stored = self.specs[index], index not in self.before
        self.before.setdefault(index, spec.epochs)
        self.done[index] = spec.epochs
        self.finished[index] = stored
        where = ", found in the store" if stored else ""
        self._tell(f"{len(self.finished)}/{len(self.specs)}, {spec.images} seed {spec.seed}{where}")

    def _tell(self, note: str) -> None:
        before = sum(self.before.values())
        work = sum(spec.epochs for spec in self.specs) - before
        self.told("trainings", (sum(self.done) - before) / work if work else 1.0, note)
