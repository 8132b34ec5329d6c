"""`covalign lineage`: was one network derived from the other?"""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from covalign.cli import options, places, saying, speaking
from covalign.errors import InputError, nearest
from covalign.studies.lineage.measure import lineage as lineage_of
from covalign.studies.lineage.verdict import Verdict
from covalign.studies.result import REPORT


def lineage(
    *models: str,
    out: Annotated[
        Path | None, Parameter(help="folder for report.html, results.json and the tables; none by default.")
    ] = None,
    images: list[str] | None = None,
    architecture: options.Architectures = None,
    normalization: options.Normalization = None,
    split: options.Split = "train",
    resolution: int | None = None,
    max_images: int = 2_000,
    fail_if: str | None = None,
    seed: options.Seed = 0,
    store: places.Store = places.STORE,
    machine: options.Machine = options.HERE,
    writing: speaking.Writing = speaking.NEW,
    manner: saying.Manner = saying.PLAIN,
) -> None:
    """Judge whether a network was derived from another: fine-tuned, pruned, quantized, merged, or not at all.

    The weights are enough, with no architecture for a weight file; permuted neurons, moved scales, folded batch norm
    and renamed layers do not hide a relation. The verdict comes with a p-value and with what it cannot exclude.

    Args:
        models: two MODELs, and further ones of their family, which can tell which of the two is older.
        images: DATA, repeated sets in equal parts; tells whether networks with unrelated weights learned alike.
        resolution: side in pixels to which images are brought; the networks' own by default.
        max_images: at most this many images, drawn at random.
        fail_if: exit with status 1 if the verdict is one of these, for pipelines: same_file, same_weights, derived,
            common_ancestor, independent, unrelated, undecided; several with commas.
    """
    unwanted = _verdicts(fail_if)
    machine.ready()
    with speaking.place(out, writing, manner) if out else nullcontext() as folder, manner.progress() as told:
        found = options.opened(models, architecture, store, normalization, device=machine.device, told=told)
        sample = options.images_for(found, images, split, resolution, max_images, seed, told=told)
        result = lineage_of(
            found,
            sample,
            max_images=max_images,
            seed=seed,
            provenance=options.provenance(),
            progress=told,
        )
        verdict = {
            "verdict": str(result.verdict),
            "p_value": result.p_value,
            "pairs": result.numbers()["pairs"],
        }
        if folder is not None:
            speaking.save(result, folder, writing, told)
    said = [f"verdict: {result.verdict} (p = {result.p_value:.2g})", *result.summary]
    if manner.json:
        saying.print_json({"path": folder and folder / REPORT, "findings": said, **verdict})
    else:
        print("\n".join([*([str(folder / REPORT)] if folder else []), *(said[:1] if manner.quiet else said)]))
    if result.verdict in unwanted:
        print(f"covalign: {result.verdict} is among --fail-if {fail_if}", file=sys.stderr)
        sys.exit(1)


def _verdicts(given: str | None) -> frozenset[str]:
    """Return the verdicts that are named.

    Raises:
        InputError: one that does not exist.
    """
    names = [name.strip() for name in given.split(",")] if given is not None else []
    known = [each.value for each in Verdict]
    for name in names:
        if name not in known:
            raise InputError(
                f"--fail-if: got {name!r}, expected one or more of {', '.join(known)}, with commas"
                f"{nearest(name, known)}"
            )
    return frozenset(names)
