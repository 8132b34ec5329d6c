"""`covalign spatial`: which spatial patterns did convolutions learn?"""

from covalign.cli import options, places, saying, speaking
from covalign.studies.spatial.measure import spatial_summary


def spatial(
    *models: str,
    out: options.Out,
    layers: options.Layers = None,
    subtract_initial: bool = False,
    architecture: options.Architectures = None,
    inside: options.Inside = None,
    store: places.Store = places.STORE,
    machine: options.Machine = options.HERE,
    writing: speaking.Writing = speaking.NEW,
    manner: saying.Manner = saying.PLAIN,
) -> None:
    """Show the spatial patterns that convolutions learned, and whether layers and networks share them.

    Weights are enough: no images are needed, and no architecture for a weight file.

    Args:
        models: one or more MODELs.
        subtract_initial: look at what training added to the initial weights, where these are known (runs of the
            store); otherwise their noise can hide the patterns.
    """
    machine.ready()
    with speaking.place(out, writing, manner) as folder, manner.progress() as told:
        found = options.opened(models, architecture, store, inside=inside, layers=layers, told=told)
        told("spatial patterns", 0.0)
        summary = spatial_summary(
            found, layers, subtract_initial=subtract_initial, provenance=options.provenance()
        )
        told("spatial patterns", 1.0)
        speaking.write(summary, folder, manner, writing, told)
