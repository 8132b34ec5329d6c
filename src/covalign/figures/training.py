"""Did the networks learn their task?"""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from covalign.figures.style import plain, series


def training_curve(history: Sequence[dict[str, Any]], ax: Axes, name: str, index: int = 0) -> Axes:
    """Draw accuracy against epoch: test as a line, training faintly beside it.

    Args:
        history: one dictionary per epoch with ``epoch``, ``train_accuracy`` and, where measured,
            ``test_accuracy``, in [0, 1].
        ax: where to draw.
        name: the network, for the legend.
        index: which series this is, for colour and dash.
    """
    style = {**series(index), "marker": ""}
    measured = [row for row in history if row.get("test_accuracy") is not None]
    ax.plot(
        [row["epoch"] for row in history], [row["train_accuracy"] for row in history], alpha=0.35, **style
    )
    ax.plot(
        [row["epoch"] for row in measured],
        [row["test_accuracy"] for row in measured],
        label=plain(name),
        **style,
    )
    ax.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1))
    return ax
