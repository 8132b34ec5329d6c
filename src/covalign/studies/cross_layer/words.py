"""What does a map from layers to layers show, in plain words?"""

from itertools import pairwise

import pandas as pd

from covalign.report.words import count, number


def findings(best: pd.DataFrame, layers_a: tuple[str, ...], layers_b: tuple[str, ...]) -> tuple[str, ...]:
    """Say whether depth corresponds to depth.

    Args:
        best: the layer of b most like each layer of a, as in `CrossLayerMap.best`.
        layers_a, layers_b: hidden layers in forward order.
    """
    if best.empty:
        return ("No pair of layers has a value: nothing can be matched.",)
    depths = [
        (layers_a.index(left), layers_b.index(right))
        for left, right in zip(best["layer_a"], best["layer_b"], strict=True)
    ]
    equal = sum(left == right for left, right in depths)
    later = sum(one <= two for (_, one), (_, two) in pairwise(depths))
    return (
        f"Of {count(len(best), 'layer')} of the first network that can be matched, {equal} are most like the layer "
        f"of equal depth in the second, and {int(best['mutual'].sum())} are also the most like it in return.",
        f"From each layer to the next, the best match moves to an equal or deeper layer in {later} of "
        f"{count(len(best) - 1, 'step')}.",
        f"Best matches reach {number(best['value'].mean())} on average ({best['measure'].iloc[0]}).",
    )
