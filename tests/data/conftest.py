import io
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
CLASSES = ("ant", "bee", "cat")


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    """A cache of its own for every test."""
    monkeypatch.setenv("COVALIGN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


@pytest.fixture(scope="session")
def shared():
    if not SHARED.is_dir():
        pytest.skip(f"needs the shared images at {SHARED}")
    return SHARED


@pytest.fixture
def pictures():
    """Twelve 8x8 RGB images, four of each class, sorted by class."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    return pixels, np.repeat([0, 1, 2], 4)


@pytest.fixture(scope="session")
def encoded():
    """Encode pixels as the bytes of an image file."""

    def encode(pixels, kind="PNG", **options):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, kind, **options)
        return stream.getvalue()

    return encode


@pytest.fixture(scope="session")
def write_table(encoded):
    """Write a parquet file as the hub does, with features in its metadata."""

    def write(file, pixels, labels, label_features=("label",)):
        cells = [
            p if p is None or isinstance(p, dict) else {"bytes": encoded(p), "path": None} for p in pixels
        ]
        features = {"img": datasets.Image()}
        features |= {name: datasets.ClassLabel(names=list(CLASSES)) for name in label_features}
        columns = {"img": cells} | {name: list(labels) for name in label_features}
        table = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
        file.parent.mkdir(parents=True, exist_ok=True)
        datasets.disable_progress_bars()
        table.to_parquet(str(file))
        datasets.enable_progress_bars()
        return file

    return write


@pytest.fixture
def table(tmp_path, pictures, write_table):
    """A folder of two training files and a validation file in the hub's layout."""
    pixels, labels = pictures
    folder = tmp_path / "insects"
    write_table(folder / "train-00000-of-00002.parquet", pixels[:7], labels[:7])
    write_table(folder / "train-00001-of-00002.parquet", pixels[7:], labels[7:])
    write_table(folder / "valid-00000-of-00001.parquet", pixels[:3], labels[:3])
    return folder


@pytest.fixture
def tree(tmp_path, pictures):
    """An image folder with training and test splits."""
    for split in ("train", "test"):
        for i, (image, label) in enumerate(zip(*pictures, strict=True)):
            file = tmp_path / "tree" / split / CLASSES[label] / f"{i:02}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(file)
    return tmp_path / "tree"
