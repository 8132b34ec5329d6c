"""`covalign energy`: what does a first layer learn from these images?"""

from covalign.cli import options, places, saying, speaking
from covalign.data.loading import load_images
from covalign.data.normalization import normalization as named
from covalign.studies.first_layer.measure import first_layer_summary
from covalign.studies.first_layer.record import FirstLayerSummary
from covalign.studies.subjects import Subject, open_subject
from covalign.training.store import RunStore


def energy(
    model: str | None = None,
    /,
    *,
    images: str,
    out: options.Out,
    kernel_size: int = 3,
    time: float | None = None,
    architecture: str | None = None,
    inside: str | None = None,
    normalization: options.Normalization = None,
    split: options.Split = "train",
    label_column: options.LabelColumn = None,
    resolution: int | None = None,
    max_images: int | None = None,
    draws: int = 200,
    seed: options.Seed = 0,
    store: places.Store = places.STORE,
    machine: options.Machine = options.HERE,
    writing: speaking.Writing = speaking.NEW,
    manner: saying.Manner = saying.PLAIN,
) -> None:
    """Predict what a first layer learns from these images; with a MODEL, beside what its own learned.

    The prediction is computed from the patches of the images alone. It is fitted to the measured energy profile
    with one free number, the training time, beside the same fit on random filters. Whether the labels will
    change the first layer is judged as well.

    Args:
        model: the MODEL to measure; without one, the prediction alone.
        images: DATA that it was trained on, or would be.
        kernel_size: side of the patches, where no MODEL fixes it.
        time: training time of the predictions, times the leading patch variance; fitted by default.
        architecture: module.path:factory that a weight file belongs to.
        inside: prefix of the weights that are meant, where a file holds several sets.
        resolution: side in pixels to which images are brought; the network's own by default.
        max_images: at most this many images, drawn at random; all by default.
        draws: random initializations behind the fit.
    """
    machine.ready()
    options.check_resolution(resolution)
    with speaking.place(out, writing, manner) as folder, manner.progress() as told:
        told("reading networks", 0.0)
        subject = (
            None if model is None else open_subject(model, architecture, store=RunStore(store), inside=inside)
        )
        told("reading networks", 1.0)
        told("reading images", 0.0)
        sample = load_images(
            images,
            split,
            resolution=resolution or (subject.network.resolution if subject else None),
            label_column=label_column,
            max_images=max_images,
            channels=_channels(subject),
            seed=seed,
        )
        told("reading images", 1.0)
        told("patches and profiles", 0.0)
        summary = first_layer_summary(
            subject,
            sample,
            kernel_size=kernel_size,
            scaled_time=time,
            normalization=named(normalization) if normalization else None,
            draws=draws,
            seed=seed,
            provenance=options.provenance(),
        )
        told("patches and profiles", 1.0)
        speaking.write(summary, folder, manner, writing, told)
    if not (manner.json or manner.quiet):
        _say(summary)


def _channels(subject: Subject | None) -> int | None:
    """Return with how many channels to load images: colours, or as they are where a first layer takes no colours."""
    if subject is None or not subject.network.layers or subject.network.layers[0].channels == 3:
        return 3
    return None


def _say(summary: FirstLayerSummary) -> None:
    """Print how well the formula fits; what its page says first was printed with the path."""
    if (fit := summary.fit) is not None:
        print(f"the formula fits at r = {fit.correlation:.2f}, random filters at {fit.baseline.mean:.2f}")
