import os
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from covalign.data.decoding import decode_listing
from covalign.data.folders import image_folder
from covalign.data.hub import hub_dataset
from covalign.data.images import Images
from covalign.data.loading import load_images
from covalign.errors import InputError


def channels_first(pixels):
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


# Every source gives the same images.


@pytest.fixture(params=["table", "tree", "npz", "arrays", "channels first", "record"])
def source(request, tmp_path, pictures):
    pixels, labels = pictures
    if request.param in ("table", "tree"):
        return request.getfixturevalue(request.param)
    if request.param == "npz":
        names = np.array(["ant", "bee", "cat"])
        np.savez(tmp_path / "insects.npz", images=pixels, labels=labels[:, None], classes=names)
        return tmp_path / "insects.npz"
    if request.param == "arrays":
        return pixels, labels
    tensors = channels_first(pixels), torch.from_numpy(labels)
    return tensors if request.param == "channels first" else Images(*tensors, tuple("abc"), "x", "train")


def test_every_source_gives_the_pixels_and_labels(source, pictures):
    images = load_images(source)
    assert torch.equal(images.pixels, channels_first(pictures[0]))
    assert images.labels.tolist() == pictures[1].tolist()


def test_a_random_subset_is_a_sample_of_the_whole(source):
    """Sources are often sorted by class: the first images would be of one class."""
    whole, part = load_images(source), load_images(source, max_images=6, seed=3)
    assert part.fingerprint == whole.sample(6, seed=3).fingerprint
    assert len(part.labels.unique()) == 3
    assert load_images(source, max_images=6, seed=4).fingerprint != part.fingerprint
    assert load_images(source, max_images=99).fingerprint == whole.fingerprint


def test_classes_are_chosen_and_renumbered(source, pictures):
    images = load_images(source, classes=2)
    assert torch.equal(images.pixels, channels_first(pictures[0])[:8])
    assert (images.labels.tolist(), len(images.classes)) == ([0] * 4 + [1] * 4, 2)


def test_images_are_averaged_to_the_resolution(source, pictures):
    sums = pictures[0].astype(int).reshape(12, 4, 2, 4, 2, 3).sum(axis=(2, 4))
    assert np.array_equal(load_images(source, resolution=4).pixels.permute(0, 2, 3, 1), (sums + 2) // 4)


def test_one_channel_is_luma(source, pictures):
    expected = [np.array(Image.fromarray(image).convert("L")).tolist() for image in pictures[0]]
    assert load_images(source, channels=1).pixels[:, 0].tolist() == expected


# Tables and folders.


def test_a_test_set_goes_by_several_names(table, tree):
    assert (load_images(table, "test").split, len(load_images(table, "test"))) == ("valid", 3)
    assert load_images(tree, "validation").split == "test"


def test_names_come_from_the_source(table, tree):
    assert (load_images(table).name, load_images(table).classes) == ("insects", ("ant", "bee", "cat"))
    assert (load_images(tree).name, load_images(tree).classes) == ("tree", ("ant", "bee", "cat"))


def test_a_source_without_splits_is_used_whole_and_says_so(table, tree, pictures):
    for source in (table / "train-00000-of-00002.parquet", tree / "train", pictures):
        assert load_images(source, "test").split == "all"


def test_decoded_images_are_read_back_from_the_cache(table, tree, cache_folder):
    for source in (table, tree):
        first = load_images(source)
        entries = sorted(cache_folder.iterdir())
        assert load_images(source).fingerprint == first.fingerprint
        assert sorted(cache_folder.iterdir()) == entries
    load_images(table, resolution=4, cache=False)
    assert len(list(cache_folder.iterdir())) == 2


def test_splits_may_be_folders(table, tmp_path):
    for split in ("train", "test"):
        (tmp_path / "hub" / split).mkdir(parents=True)
        shutil.copy(table / "train-00000-of-00002.parquet", tmp_path / "hub" / split / "0000.parquet")
    assert len(load_images(tmp_path / "hub", "test")) == 7


def test_several_configurations_are_refused(table, tmp_path):
    for name in ("small", "large"):
        shutil.copytree(table, tmp_path / "hub" / name)
    with pytest.raises(InputError, match=r"split 'train' is in several folders; pass .*large, .*small"):
        load_images(tmp_path / "hub")


def test_several_label_columns_need_a_choice(tmp_path, pictures, write_table):
    file = write_table(tmp_path / "t.parquet", *pictures, label_features=("fine_label", "coarse_label"))
    with pytest.raises(InputError, match=r"found 2 label columns .* say which with label_column"):
        load_images(file)
    assert len(load_images(file, label_column="coarse_label")) == 12
    with pytest.raises(InputError, match="label column 'kind' not found among img, fine_label, coarse_label"):
        load_images(file, label_column="kind")


def test_columns_are_found_by_name_where_types_are_not_recorded(table, tmp_path, pictures):
    plain = pq.read_table(table / "train-00000-of-00002.parquet").replace_schema_metadata(None)
    pq.write_table(plain, tmp_path / "plain.parquet")
    images = load_images(tmp_path / "plain.parquet")
    assert torch.equal(images.pixels, channels_first(pictures[0])[:7])
    assert images.classes == ("0", "1")
    pq.write_table(plain.rename_columns(["scan", "label"]), tmp_path / "plain.parquet")
    with pytest.raises(InputError, match="found no image column among scan, label"):
        load_images(tmp_path / "plain.parquet")


@pytest.mark.parametrize("kind", ["bytes alone", "a path"])
def test_cells_may_hold_bytes_alone_or_a_path(tmp_path, pictures, encoded, kind):
    data = [encoded(image) for image in pictures[0]]
    if kind == "a path":
        files = [tmp_path / f"{row}.png" for row in range(12)]
        for file, content in zip(files, data, strict=True):
            file.write_bytes(content)
        data = [{"bytes": None, "path": str(file)} for file in files]
    pq.write_table(pa.table({"image": data, "label": pictures[1]}), tmp_path / "t.parquet")
    assert torch.equal(load_images(tmp_path / "t.parquet").pixels, channels_first(pictures[0]))


def test_labels_must_be_integers(table, tmp_path):
    plain = pq.read_table(table / "train-00000-of-00002.parquet").replace_schema_metadata(None)
    words = plain.set_column(1, "label", [["ant"] * 7])
    pq.write_table(words, tmp_path / "words.parquet")
    with pytest.raises(InputError, match=r"column 'label' holds string .* expected an integer label"):
        load_images(tmp_path / "words.parquet")


def test_a_split_without_labels_is_refused(tmp_path, pictures, write_table):
    file = write_table(tmp_path / "test-0.parquet", pictures[0][:2], [-1, -1])
    for classes in (None, 3):
        with pytest.raises(InputError, match=r"column 'label': got labels from -1 to -1.* without labels"):
            load_images(file, classes=classes)


def test_files_of_one_split_must_have_the_same_columns(table, pictures, write_table):
    write_table(table / "train-00001-of-00002.parquet", *pictures, label_features=("kind",))
    with pytest.raises(InputError, match=r"train-00001-of-00002\.parquet: cannot be read \(.*label"):
        load_images(table)


def test_classes_that_only_one_split_has_are_refused(tree):
    shutil.copytree(tree / "test" / "ant", tree / "test" / "dog")
    with pytest.raises(InputError, match=r"test/dog: this class is not in .*train"):
        load_images(tree, "test")


def test_labels_mean_the_same_class_where_a_split_lacks_one(tree):
    shutil.rmtree(tree / "test" / "ant")
    images = load_images(tree, "test")
    assert images.classes == ("ant", "bee", "cat")
    assert images.labels.unique().tolist() == [1, 2]


# Bad input ends in one line that names the place.


def test_a_damaged_image_in_a_table_is_named_by_file_and_row(tmp_path, pictures, write_table):
    cells = list(pictures[0])
    cells[9] = {"bytes": b"\xff\xd8\xff\xe0 not a JPEG file", "path": None}
    folder = tmp_path / "damaged"
    write_table(folder / "train-0.parquet", cells[:4], pictures[1][:4])
    write_table(folder / "train-1.parquet", cells[4:], pictures[1][4:])
    with pytest.raises(InputError, match=r"train-1\.parquet, row 5: not a readable image") as caught:
        load_images(folder)
    assert "\n" not in str(caught.value)
    assert len(load_images(folder, classes=2)) == 8  # what is not wanted is not decoded


def test_an_empty_cell_is_named(tmp_path, pictures, write_table):
    cells = [*pictures[0][:3], None]
    file = write_table(tmp_path / "t.parquet", cells, pictures[1][:4])
    with pytest.raises(InputError, match=r"t\.parquet, row 3: holds no image"):
        load_images(file)


@pytest.mark.parametrize("damage", ["cut", "overwritten", "empty"])
def test_a_damaged_parquet_file_is_named(table, damage, capfd):
    file = table / "train-00001-of-00002.parquet"
    data = bytearray(file.read_bytes())
    data[4:1000] = bytes(996)
    file.write_bytes({"cut": data[:500], "empty": b""}.get(damage, data))
    with pytest.raises(InputError, match=r"-00001-of-00002\.parquet: cannot be read \(") as caught:
        load_images(table)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_damaged_image_in_a_folder_is_named(tree):
    file = tree / "train" / "bee" / "06.png"
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(InputError, match=r"bee/06\.png: not a readable image"):
        load_images(tree)


def test_a_file_that_vanishes_while_reading_is_named(tree):
    listing = image_folder(tree, "train").open()
    (tree / "train" / "bee" / "06.png").unlink()
    with pytest.raises(InputError, match=r"bee/06\.png: cannot be read \(No such file or directory\)"):
        decode_listing(listing)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="found no images; expected one sub-folder of images per class"):
        load_images(tmp_path)


def test_a_table_without_rows_is_refused(tmp_path, write_table):
    file = write_table(tmp_path / "t.parquet", [], [])
    with pytest.raises(InputError, match=r"t\.parquet: the table has no rows"):
        load_images(file)


def test_a_missing_split_lists_those_that_are_there(table, tree):
    shutil.rmtree(tree / "train")
    with pytest.raises(InputError, match="split 'train' not found; it has 'test'"):
        load_images(tree)
    with pytest.raises(InputError, match="split 'extra' not found; it has 'train', 'valid'"):
        load_images(table, "extra")


@pytest.mark.parametrize("source", ["./nothing", "folder/of/things", "/nothing", "images.npz"])
def test_a_missing_file_is_refused(source):
    with pytest.raises(InputError, match="no such file or folder"):
        load_images(source)


def test_another_kind_of_file_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(InputError, match=r"a\.txt: expected an \.npz or \.parquet file, or a folder"):
        load_images(tmp_path / "a.txt")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")


def test_a_hub_name_out_of_reach_ends_in_one_line(offline, capfd):
    with pytest.raises(InputError, match="no such file or folder, and not available from the") as caught:
        load_images("covalign/no-such-data")
    assert str(caught.value).startswith("covalign/no-such-data: ")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_hub_data_set_is_read_like_its_files(offline, table, monkeypatch, capfd):
    """`datasets` opens a folder of that name as it opens a data set of the hub."""
    monkeypatch.chdir(table.parent)
    source = hub_dataset("insects", "test", None)
    listing = source.open()
    assert (source.name, source.split, listing.classes) == ("insects", "validation", ("ant", "bee", "cat"))
    assert all(file.is_file() for file in source.files)
    assert torch.equal(decode_listing(listing), load_images(table, "test").pixels)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 2}, "images: got 3 channels, expected 2; pass an .npz whose images have 2 channels"),
        ({"resolution": 0}, "resolution: got 0, expected a positive number"),
        ({"max_images": -1}, "max_images: got -1, expected a positive number"),
        ({"classes": ["dog"]}, "'dog' is not one of the 3 classes; near: 0, 1, 2"),
    ],
)
def test_bad_options_are_refused(pictures, options, message):
    with pytest.raises(InputError, match=message):
        load_images(pictures, **options)


# Arrays.


def test_npz_files_may_hold_splits(tmp_path, pictures):
    pixels, labels = pictures
    arrays = {
        "train_images": pixels,
        "train_labels": labels,
        "val_images": pixels[:2],
        "val_labels": labels[:2],
    }
    np.savez(tmp_path / "a.npz", **arrays)
    test = load_images(tmp_path / "a.npz", "test")
    assert (test.split, len(test)) == ("val", 2)


def test_npz_files_with_other_arrays_are_refused(tmp_path, pictures):
    np.savez(tmp_path / "a.npz", x=pictures[0], labels=pictures[1])
    with pytest.raises(InputError, match="got arrays x, labels; expected images and labels"):
        load_images(tmp_path / "a.npz")


def test_nothing_is_unpickled_and_damage_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.array([{}], dtype=object), labels=np.zeros(1, int))
    with pytest.raises(InputError, match=r"a\.npz: not a readable \.npz file"):
        load_images(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"PK broken")
    with pytest.raises(InputError, match=r"a\.npz: not a readable \.npz file"):
        load_images(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("pixels", "labels", "message"),
    [
        (np.zeros((2, 4, 4, 3)), [0, 1], "got images of type torch.float64 .* scale to 0..255"),
        (np.zeros((2, 4), np.uint8), [0, 1], r"shape \[2, 4\], expected uint8"),
        (np.zeros((2, 5, 5, 5), np.uint8), [0, 1], "expected 1, 3 or 4 channels"),
        (np.zeros((2, 4, 4), np.uint8), [0.0, 1.0], "got labels of type torch.float64, expected integers"),
        (np.zeros((2, 4, 4), np.uint8), ["a", "b"], "labels: got list, expected an array of numbers"),
        (np.zeros((2, 4, 4), np.uint8), [0], "got 2 images and 1 labels"),
        (np.zeros((2, 4, 4), np.uint8), [0, -1], "got labels from -1 to 0, expected 0 to 0"),
        (np.zeros((0, 4, 4), np.uint8), np.zeros(0, int), "no images in split 'all'"),
    ],
)
def test_unusable_arrays_are_refused(pixels, labels, message):
    with pytest.raises(InputError, match=message):
        load_images((pixels, labels))


def test_records_do_not_change_with_the_arrays_they_came_from(pictures):
    images = load_images(pictures)
    before = images.pixels.clone()
    pictures[0][:] = 0
    assert torch.equal(images.pixels, before)


# The embedded photographs.


def test_photographs_load_by_name():
    images = load_images("photos:a", "test", max_images=50, resolution=16)
    assert images.pixels.shape == (50, 3, 16, 16)
    assert images.name == "photos:a"


@pytest.mark.slow
def test_the_hub_is_not_imported_before_it_is_asked_for():
    program = (
        "import sys; import covalign.data.loading; print({'datasets', 'huggingface_hub'} & {*sys.modules})"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.stdout == "set()\n"


def test_a_sample_may_leave_out_whole_batches_of_a_table(pictures, write_table, tmp_path, monkeypatch):
    monkeypatch.setattr("covalign.data.tables.BATCH", 2)
    pixels, labels = pictures
    write_table(tmp_path / "set" / "train-00000-of-00001.parquet", pixels, labels)
    (image,) = load_images(tmp_path / "set", max_images=1).pixels
    assert any((image.permute(1, 2, 0).numpy() == picture).all() for picture in pixels)
