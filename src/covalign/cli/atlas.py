"""`covalign atlas`: which conditions teach networks the same?"""

from pathlib import Path

from covalign.cli import options, places, populations, saying, sharing, speaking
from covalign.cli.memory import held_to
from covalign.studies.atlas.measure import atlas as atlas_of
from covalign.training.population import population_from_toml


def atlas(
    population: Path,
    /,
    *,
    out: options.Out,
    images: list[str] | None = None,
    layers: options.Layers = None,
    split: options.Split = "train",
    max_images: int = 2_000,
    figures: bool = False,
    curves: bool = True,
    reference: options.Reference = False,
    workers: sharing.Workers = 1,
    scheduler: sharing.Scheduler = None,
    cache: options.Cache = True,
    memory: options.Memory = 2.0,
    seed: options.Seed = 0,
    dry_run: options.DryRun = False,
    store: places.Store = places.STORE,
    machine: options.Machine = options.HERE,
    writing: speaking.Writing = speaking.NEW,
    manner: saying.Manner = saying.PLAIN,
) -> None:
    """Map a population: which conditions teach the same, layer by layer, told by how many seeds?

    Every two networks are compared; conditions by Q with intervals over seeds: clustered, drawn in a plane, tested by
    exchanging networks between conditions that differ in one thing alone (five seeds a condition, or more), grouped
    into classes, and asked who contains whom. Networks that are not trained yet are named, with the command that
    trains them; the others are mapped.

    Args:
        population: a TOML file that names networks, as `covalign train` takes it.
        images: DATA that alignments are fitted to; repeated sets are mixed in equal parts. The images that the
            population was trained on by default.
        max_images: at most this many images, drawn at random.
        figures: also draw the figures for print, as PNG and PDF.
        curves: also ask who contains whom, from curves of shared variance.
    """
    named = population_from_toml(population)
    if dry_run:
        populations.show(population, store, manner)
        return
    machine.ready()
    with speaking.place(out, writing, manner) as folder, manner.progress() as told:
        there = populations.members(named, population, store, manner, told)
        found = [each.on(machine.device) if machine.device else each for each in there.subjects]
        sample = populations.images_for(named, there, images, split, max_images, seed, told)
        result = atlas_of(
            found,
            sample,
            there.conditions,
            layers,
            places=named.places,
            missing=there.missing,
            max_images=max_images,
            seed=seed,
            curves=curves,
            reference=reference,
            memory=held_to(memory),
            workers=workers,
            scheduler=scheduler,
            cache=options.pairs_cache(cache),
            provenance=options.provenance(),
            progress=told,
        )
        speaking.write(result, folder, manner, writing, told)
        if figures:
            result.figures(folder / "figures")
