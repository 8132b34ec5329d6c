"""What does a person mean by a network's name: a stored run, or a file, module or hub name?"""

import re
from pathlib import Path

from covalign.networks.network import Network
from covalign.networks.readers.opening import load_network
from covalign.storage.folder import MANIFEST
from covalign.training.run import Run
from covalign.training.store import RunStore, load_run

RUN_KEY = re.compile(r"[0-9a-f]{6,64}")


def open_source(
    source: str | Path,
    architecture: str | None = None,
    *,
    normalization: str | None = None,
    store: RunStore | None = None,
) -> Network | Run:
    """Open a run by its folder or key, and anything else by `covalign.networks.readers.opening.load_network`.

    Args:
        source: a run's folder or the first digits (six or more) of its key; a weight file; ``timm:NAME``,
            ``torchvision:NAME``; ``module.path:factory``.
        architecture: for weight files, what builds the module that the weights belong to.
        normalization: of the network's input pixels, where the source does not say.
        store: where run keys are looked up.
    """
    path = Path(source)
    if (path / MANIFEST).is_file() or (RUN_KEY.fullmatch(str(source)) and not path.exists()):
        return load_run(source, store)
    return load_network(source, architecture, normalization=normalization)
