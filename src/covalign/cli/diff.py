"""`covalign diff`: what changed between relatives?"""

import sys

from covalign.cli import options, places, saying, speaking
from covalign.errors import InputError
from covalign.networks.readers.opening import read_adapter
from covalign.studies.difference.measure import diff as difference_of


def diff(
    base: str,
    other: str,
    /,
    *,
    out: options.Out,
    replicate: str | None = None,
    layers: options.Layers = None,
    architecture: options.Architectures = None,
    inside: options.Inside = None,
    fail_above: float | None = None,
    draws: int = 10,
    seed: options.Seed = 0,
    store: places.Store = places.STORE,
    machine: options.Machine = options.HERE,
    writing: speaking.Writing = speaking.NEW,
    manner: saying.Manner = saying.PLAIN,
) -> None:
    """Show what changed between relatives: a fine-tune and its base, two checkpoints of one training.

    No images are needed, because relatives share their coordinates; whether they do is checked first. Each
    layer's change is held against the same update randomly turned, or against another seed of the fine-tune.

    Args:
        base: the MODEL before.
        other: the MODEL after, or an adapter of the base (LoRA and its like).
        replicate: what another seed made of the same base; its spread becomes a second reference.
        fail_above: exit with status 1 if a layer's relative change is larger, for pipelines.
        draws: random turns of each update.
    """
    machine.ready()
    if fail_above is not None and not fail_above >= 0:
        raise InputError(f"--fail-above: got {fail_above}, expected a number from 0")
    names = [base, other, *([replicate] if replicate else [])]
    with speaking.place(out, writing, manner) as folder, manner.progress() as told:
        adapters = {name: adapter for name in names[1:] if (adapter := read_adapter(name))}
        networks = [base, *(name for name in names[1:] if name not in adapters)]
        opened = options.opened(networks, architecture, store, inside=inside, layers=layers, told=told)
        subjects = dict(zip(networks, opened, strict=True))
        relatives = [adapters.get(name) or subjects[name] for name in names[1:]]
        difference = difference_of(
            opened[0],
            *relatives,
            layers=layers,
            draws=draws,
            seed=seed,
            provenance=options.provenance(),
            progress=told,
        )
        largest = difference.largest_change
        speaking.write(difference, folder, manner, writing, told, largest_change=largest)
    if not (manner.json or manner.quiet):
        print(f"largest relative change of a layer: {largest:.4g}")
    if fail_above is not None and (left := int(difference.table["relative_change"].isna().sum())):
        print(
            f"covalign: --fail-above says nothing of {left} layers that could not be compared",
            file=sys.stderr,
        )
    if fail_above is not None and largest > fail_above:
        print(f"covalign: above --fail-above {fail_above}", file=sys.stderr)
        sys.exit(1)
