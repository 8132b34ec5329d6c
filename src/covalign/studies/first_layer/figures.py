"""What does a first layer look like beside its prediction?"""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from covalign.figures.style import plain, series
from covalign.first_layer.energy import EnergyProfile


def energy_profiles(profiles: Mapping[str, EnergyProfile], ax: Axes) -> Axes:
    """Draw energy profiles over component rank, each divided by its maximum; predictions without markers."""
    for index, (name, profile) in enumerate(profiles.items()):
        energy = profile.energy / profile.energy.max().clamp(min=1e-300)
        style: dict[str, Any] = {**series(index), **({"marker": ""} if profile.filters is None else {})}
        ax.plot(range(1, len(energy) + 1), energy.tolist(), label=plain(name), **style)
    ax.set(xlabel="patch component", ylabel="energy / maximum", ylim=(0, 1.05))
    ax.legend()
    return ax
