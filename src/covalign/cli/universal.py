"""`covalign universal`: build the encoding of a population, look at it, and draw new networks from it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import safetensors.torch
import torch
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from covalign.cli import options, places, saying, speaking
from covalign.data.loading import load_images
from covalign.errors import InputError, unknown
from covalign.networks.architectures.resnet import resnet
from covalign.networks.architectures.vgg import VGG_PLANS, vgg
from covalign.networks.readers.hub import Built
from covalign.networks.readers.hub import build as built
from covalign.report.columns import Heading, headings
from covalign.storage.atomic import write_or_refuse
from covalign.storage.plain import plain_numbers
from covalign.studies.universal.columns import FilledRow, LayerRow, MemberRow
from covalign.studies.universal.initialize import init_
from covalign.studies.universal.measure import universal_encoding
from covalign.studies.universal.record import load_encoding
from covalign.training.store import RunStore

PRINTED = ("layer", "d", "neurons", "rank", "score", "low", "high", "explained", "explained_rotated")
"""Columns of a layer that are printed, besides how many directions are shared; the file and --json have all."""
SHARED = ("shared_rank", "shared_rank_rotated", "shared_rank_untrained")
File = Annotated[Path, Parameter(help="the file to write.")]
Overwrite = Annotated[bool, Parameter(negative=(), help="replace a file that is there.")]


def build_encoding(
    *population: str,
    out: File,
    images: list[str] | None = None,
    split: options.Split = "train",
    max_images: int = 500,
    columns: int | None = None,
    licence: list[str] | None = None,
    overwrite: Overwrite = False,
    seed: options.Seed = 0,
    store: places.Store = places.STORE,
    machine: options.Machine = options.HERE,
    manner: saying.Manner = saying.PLAIN,
) -> None:
    """Build the universal encoding of a population and write it as one .safetensors file.

    Per layer: a common basis, the barycenter of the weight covariances, how much of each network the others explain,
    which directions are shared by how many (with networks turned at random and untrained ones beside them), and a
    universality score with its interval over networks. The file carries a card and a network drawn from the encoding,
    which fixes its coordinates; no images and no trained weights.

    Args:
        population: finished trainings of one architecture: folders or keys of runs, or folders that hold runs.
        images: DATA to align the networks on, repeated sets in equal parts; the embedded photographs by default.
        max_images: at most this many images, drawn at random.
        columns: of each covariance that are stored at most, the rest as one number; fewer make a smaller file.
        licence: terms of a data set, NAME=TERMS, for the card; may be repeated.
    """
    machine.ready()
    _free(out, overwrite)
    terms = dict(map(_terms, licence or ()))
    found = options.opened(_runs(population, manner), None, store)
    sample = options.images_for(found, images, split, None, max_images, seed)
    with manner.progress() as told:
        encoding = universal_encoding(
            found,
            sample,
            max_images=max_images,
            columns=columns,
            seed=seed,
            licences=terms,
            provenance=options.provenance(),
            progress=told,
        )
    encoding.save(out)
    if not (manner.json or manner.quiet):
        _print(encoding.table, headings(LayerRow, (*PRINTED, *SHARED)))
    manner.say(out, layers=encoding.table.to_dict("records"), card=encoding.card)


def show_encoding(encoding: str, /, *, manner: saying.Manner = saying.PLAIN) -> None:
    """Show what an encoding holds: its layers, its members and its card.

    Args:
        encoding: a file that `covalign universal build` wrote, or the name of one that comes with covalign.
    """
    found = load_encoding(encoding)
    if manner.json:
        tables = {"layers": found.table, "members": found.population}
        saying.print_json({k: v.to_dict("records") for k, v in tables.items()} | {"card": found.card})
        return
    _print(found.table, headings(LayerRow, (*PRINTED, *SHARED)))
    _print(found.population, headings(MemberRow))
    print(json.dumps(found.card, indent=1))


def init_network(
    encoding: str,
    /,
    *,
    out: File,
    architecture: str | None = None,
    form: str | None = None,
    width: float | None = None,
    kernel_size: int | None = None,
    in_channels: int = 3,
    classes: int = 10,
    images: str | None = None,
    split: options.Split = "train",
    first: str = "auto",
    normalization: options.Normalization = None,
    max_images: int = 400,
    overwrite: Overwrite = False,
    seed: options.Seed = 0,
    machine: options.Machine = options.HERE,
    manner: saying.Manner = saying.PLAIN,
) -> None:
    """Draw the weights of a new network from an encoding and write them as a checkpoint.

    Widths, kernel sizes and numbers of input channels are free; depth and form are the encoding's. The readout is
    initialized as PyTorch does. Prints what each layer receives, so that scales can be checked.

    Args:
        encoding: a file that `covalign universal build` wrote, or the name of one that comes with covalign.
        architecture: vgg11, vgg13, vgg16 or resnet20, or module.path:factory, which says everything below itself;
            that of the encoding by default.
        form: joint or factorized; that of the encoding by default.
        width: multiplier of the number of channels; that of the encoding by default.
        kernel_size: side of the kernels; that of the encoding by default.
        in_channels: channels of the images.
        classes: number of outputs.
        images: DATA to align on, without labels; the embedded photographs by default.
        first: where the first layer comes from: encoding, images (closed form), or auto.
        max_images: at most this many images, drawn at random.
    """
    machine.ready()
    _free(out, overwrite)
    found = load_encoding(encoding)
    spec = found.reference.spec
    name = architecture or spec["architecture"]
    changes = {
        "form": spec["form"] if form is None else form,
        "width": spec["width"] if width is None else width,
        "kernel_size": spec["kernel_size"] if kernel_size is None else kernel_size,
    }
    new = _network(name, changes, in_channels, classes, spec, seed)
    sample = None
    if images is not None:
        sample = load_images(images, split, max_images=max_images, channels=in_channels, seed=seed)
    with manner.progress() as told:
        done = init_(
            new.module,
            found,
            sample,
            first=first,
            normalization=normalization or new.normalization,
            max_images=max_images,
            seed=seed,
            progress=told,
        )
    weights = {key: value.contiguous() for key, value in new.module.state_dict().items()}
    text = {"architecture": name, "initialization": json.dumps(plain_numbers(asdict(done)))}
    write_or_refuse(out, safetensors.torch.save(weights, text))
    if not (manner.json or manner.quiet):
        _print(done.table, headings(FilledRow))
    manner.say(out, done.summary, layers=done.table.to_dict("records"))


def _free(out: Path, overwrite: bool) -> None:
    """Refuse to replace a file, and see that its folder can be written, before the work starts.

    Raises:
        InputError: a file is there, or cannot be.
    """
    if out.exists() and (out.is_dir() or not overwrite):
        raise InputError(
            f"--out: {out} is there; give another file{'' if out.is_dir() else ', or --overwrite'}"
        )
    speaking.check_writable(out.parent)


def _runs(given: tuple[str, ...], manner: saying.Manner) -> list[str]:
    """Return runs; a folder that holds runs stands for all that are finished, and what is left out is said."""
    found: list[str] = []
    for each in given:
        folder = Path(each)
        if folder.is_dir() and not (folder / "spec.json").exists():
            entries = RunStore(folder).entries()
            runs = [entry.run for entry in entries]
            finished = [str(run.path) for run in runs if run is not None and run.complete]
            if not finished:
                raise InputError(
                    f"{each}: holds no finished training; train some, or give their folders or keys"
                )
            if len(finished) < len(entries):
                manner.hint(f"{each}: took {len(finished)} finished trainings of {len(entries)}")
            found += finished
        else:
            found.append(each)
    return found


def _terms(given: str) -> tuple[str, str]:
    name, equal, terms = given.partition("=")
    if not equal or not name or not terms:
        raise InputError(f"--licence: got {given!r}, expected NAME=TERMS, NAME as the data set is called")
    return name, terms


def _network(
    name: str, changes: dict[str, Any], in_channels: int, classes: int, spec: dict[str, Any], seed: int
) -> Built:
    """Build the untrained network, in its own random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name in VGG_PLANS:
            return Built(
                vgg(
                    name,
                    classes=classes,
                    in_channels=in_channels,
                    head=spec["head"],
                    norm=spec["norm"],
                    **changes,
                )
            )
        if name == "resnet20":
            return Built(resnet(20, classes, in_channels))
        if ":" not in name:
            raise unknown("--architecture", name, [*VGG_PLANS, "resnet20"], ", or module.path:factory")
        return built(name)


def _print(table: pd.DataFrame, columns: tuple[Heading, ...]) -> None:
    shown_table = Table(*(column.title for column in columns))
    shown_table.columns[0].no_wrap = True
    for _, row in table.iterrows():
        cells = [(row[column.name], column.digits) for column in columns]
        shown_table.add_row(*(str(v) if digits is None else f"{v:.{digits}f}" for v, digits in cells))
    Console(width=200).print(shown_table)
