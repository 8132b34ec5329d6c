"""`covalign compare`: did these networks learn the same thing?"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from covalign.cli import options, places, populations, saying, sharing, speaking
from covalign.cli.memory import held_to
from covalign.data.images import Images
from covalign.errors import InputError
from covalign.studies.comparison.measure import compare as compare_networks
from covalign.studies.subjects import Subject
from covalign.training.population import population_from_toml


def compare(
    *models: str,
    out: options.Out,
    population: Path | None = None,
    images: list[str] | None = None,
    layers: options.Layers = None,
    architecture: options.Architectures = None,
    inside: options.Inside = None,
    normalization: options.Normalization = None,
    split: options.Split = "train",
    label_column: options.LabelColumn = None,
    resolution: options.Resolution = None,
    layout: options.Layout = None,
    max_images: int = 10_000,
    by: list[str] | None = None,
    controls: bool = True,
    calibrate: bool = True,
    curves: bool = True,
    layer_map: bool = True,
    reference: options.Reference = False,
    memory: options.Memory = 2.0,
    workers: sharing.Workers = 1,
    scheduler: sharing.Scheduler = None,
    cache: options.Cache = True,
    seed: options.Seed = 0,
    dry_run: options.DryRun = False,
    store: places.Store = places.STORE,
    machine: options.Machine = options.HERE,
    writing: speaking.Writing = speaking.NEW,
    manner: saying.Manner = saying.PLAIN,
) -> None:
    """Compare networks layer by layer: did they learn the same thing?

    Hidden representations are aligned by a rotation, fitted to the images; then the learned weights are compared:
    R says how much of what neurons have in common is common to both networks (0 unrelated, 1 the same), beside
    controls and the published similarity. Without images, only what needs no alignment is compared: spectra, spatial
    patterns, first layers.

    Args:
        models: two or more MODELs.
        population: a TOML file that names networks instead (see `covalign train`): those of it that the store has
            are compared, and its conditions too. What is missing is named, with the command that trains it.
        images: DATA that alignments are fitted to; repeated sets are mixed in equal parts. A population's own images
            by default.
        max_images: at most this many images, drawn at random.
        by: compare conditions as well, by Q over seeds: `--by training` takes images and labels of stored runs, or
            one name per model, in order (`--by cats --by cats --by dogs --by dogs`).
        controls: also compare with alignments fitted to shuffled images, and to features centred at each position.
        calibrate: also estimate the calibrated similarity with its interval.
        curves: also measure shared variance direction by direction, and R without leading directions.
        layer_map: also compare what every layer receives with what every other receives, of the first dozen pairs.
    """
    if population is None and dry_run:
        raise InputError("--dry-run: expected --population FILE, of which it says what is there")
    if population is not None and (models or by):
        raise InputError("--population: names networks and conditions itself; leave out the models and --by")
    if population is not None and dry_run:
        populations.show(population, store, manner)
        return
    machine.ready()
    with speaking.place(out, writing, manner) as folder, manner.progress() as told:
        conditions: Mapping[str, str] | Sequence[str] | str | None = by
        if population is not None:
            named = population_from_toml(population)
            there = populations.members(named, population, store, manner, told)
            found = [each.on(machine.device) if machine.device else each for each in there.subjects]
            sample: Images | None = populations.images_for(
                named, there, images, split, max_images, seed, told
            )
            conditions = there.conditions
        else:
            found = options.opened(
                models,
                architecture,
                store,
                normalization,
                resolution,
                layout,
                inside,
                layers,
                device=machine.device,
                told=told,
            )
            sample = options.images_for(
                found, images, split, resolution, max_images, seed, label_column, told=told
            )
            conditions = by[0] if by is not None and len(by) == 1 else by
        comparison = compare_networks(
            found,
            sample,
            layers,
            by=conditions,
            max_images=max_images,
            seed=seed,
            controls=controls,
            calibrate=calibrate,
            curves=curves,
            layer_map=layer_map,
            reference=reference,
            memory=held_to(memory),
            workers=workers,
            scheduler=scheduler,
            cache=options.pairs_cache(cache),
            provenance=options.provenance(),
            progress=told,
        )
        speaking.write(comparison, folder, manner, writing, told)
    _hint(found, sample, manner)


def _hint(found: list[Subject], sample: Images | None, manner: saying.Manner) -> None:
    """Say which option would have aligned more."""
    bare = [each.name for each in found if each.network.source is None]
    if sample is None:
        manner.hint(
            "without --images nothing was aligned; hidden layers need them: --images photos, or your own"
        )
    elif bare:
        manner.hint(
            f"{', '.join(bare)}: a weight file has no forward pass, so that its hidden layers could not be aligned; "
            "say what builds the network: --architecture module.path:factory (- for a model that needs none)"
        )
