"""Make the photographs that come with the package from the originals in scikit-image and Matplotlib.

Run once, with both installed: ``python tools/make_photographs.py src/covalign/data/photographs``.
Sources and licences are listed in LICENCES.md beside the results.
"""

import sys
from importlib.resources import files
from pathlib import Path

from PIL import Image

QUALITY = 90
ORIGINALS = {  # name -> file, box cut out (left, top, right, bottom) or None, factor of reduction
    "astronaut": ("skimage.data/astronaut.png", None, 1),
    "brick": ("skimage.data/brick.png", None, 1),
    "camera": ("skimage.data/camera.png", None, 1),
    "chelsea": ("skimage.data/chelsea.png", None, 1),
    "coffee": ("skimage.data/coffee.png", None, 1),
    "grass": ("skimage.data/grass.png", None, 1),
    "gravel": ("skimage.data/gravel.png", None, 1),
    "hopper": ("matplotlib/mpl-data/sample_data/grace_hopper.jpg", None, 1),
    "hubble": ("skimage.data/hubble_deep_field.jpg", None, 2),
    "retina": ("skimage.data/retina.jpg", (205, 205, 1205, 1205), 2),  # within the disc
}


def make(folder: Path) -> None:
    """Write every photograph as a JPEG file without chroma subsampling."""
    for name, (original, box, factor) in ORIGINALS.items():
        package, _, path = original.partition("/")
        with files(package).joinpath(path).open("rb") as file, Image.open(file) as image:
            image.crop(box or (0, 0, *image.size)).reduce(factor).save(
                folder / f"{name}.jpg", quality=QUALITY, subsampling=0, optimize=True
            )


if __name__ == "__main__":
    make(Path(sys.argv[1]))
