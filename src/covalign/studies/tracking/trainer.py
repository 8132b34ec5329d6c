"""How is R logged by the ``Trainer`` of Hugging Face's transformers?"""

from typing import Any

from covalign.errors import optional
from covalign.studies.tracking.tracker import Tracker


def trainer_callback(tracker: Tracker, part: str = "") -> Any:
    """Return a ``TrainerCallback`` that calls a tracker before the first step, after every step, and at the end.

    Args:
        tracker: says every how many steps it measures.
        part: name of the submodule that takes images; "" for the model itself.

    Returns:
        A ``transformers.TrainerCallback``, for ``Trainer(..., callbacks=[...])``. Of several processes the first
        logs alone.

    Raises:
        InputError: transformers is not installed.
    """
    base = optional("transformers", package="transformers[torch]").TrainerCallback

    def told(state: Any, model: Any, now: bool = False) -> None:
        if state.is_world_process_zero:
            tracker(model.get_submodule(part), state.global_step, now)

    def on_train_begin(self: Any, args: Any, state: Any, control: Any, **given: Any) -> None:
        told(state, given["model"], now=True)

    def on_step_end(self: Any, args: Any, state: Any, control: Any, **given: Any) -> None:
        told(state, given["model"])

    def on_train_end(self: Any, args: Any, state: Any, control: Any, **given: Any) -> None:
        told(state, given["model"], now=True)

    events = {each.__name__: each for each in (on_train_begin, on_step_end, on_train_end)}
    return type("TrackingCallback", (base,), events)()
