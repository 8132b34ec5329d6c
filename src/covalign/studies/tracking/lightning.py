"""How is R logged by the ``Trainer`` of Lightning?"""

import sys
from importlib import import_module
from typing import Any

from covalign.errors import InputError
from covalign.studies.tracking.tracker import Tracker

OLDER = "pytorch_lightning"
"""The package's other name, under which its callbacks are of another class."""


def lightning_callback(tracker: Tracker, part: str = "") -> Any:
    """Return a Lightning ``Callback`` that calls a tracker before the first step, after every step, and at the end.

    Args:
        tracker: says every how many steps it measures.
        part: name of the submodule that takes images; "" for the ``LightningModule`` itself.

    Returns:
        A callback, for ``Trainer(callbacks=[...])``. Of several processes the first logs alone.

    Raises:
        InputError: Lightning is not installed.
    """
    library = OLDER if OLDER in sys.modules else "lightning.pytorch"
    try:
        base = import_module(library).Callback
    except ImportError as error:
        raise InputError(
            f"lightning_callback: {library} cannot be imported ({error}); it is for trainings that have it already: "
            "in a plain loop call tracker(module, step)"
        ) from error

    def told(trainer: Any, module: Any, now: bool = False) -> None:
        if trainer.is_global_zero:
            tracker(module.get_submodule(part), trainer.global_step, now)

    def on_train_start(self: Any, trainer: Any, pl_module: Any) -> None:
        told(trainer, pl_module, now=True)

    def on_train_batch_end(self: Any, trainer: Any, pl_module: Any, *given: Any) -> None:
        told(trainer, pl_module)

    def on_train_end(self: Any, trainer: Any, pl_module: Any) -> None:
        told(trainer, pl_module, now=True)

    events = {each.__name__: each for each in (on_train_start, on_train_batch_end, on_train_end)}
    return type("TrackingCallback", (base,), events)()
