import pytest

from covalign.errors import InputError
from covalign.storage.folder import MANIFEST, Folder


def test_a_commit_adds_and_drops_at_once(tmp_path):
    folder = Folder(tmp_path)
    folder.commit({"a": b"1", "sub/b": b"2"})
    folder.commit({"c": b"3"}, drop=frozenset({"a"}))
    assert set(folder.files()) == {"sub/b", "c"}
    assert (folder.read("c"), folder.read("sub/b")) == (b"3", b"2")
    assert not (tmp_path / "a").exists()


def test_files_written_before_a_kill_are_leftovers_and_change_nothing(tmp_path):
    folder = Folder(tmp_path)
    folder.commit({"a": b"1"})
    (tmp_path / "b").write_bytes(b"written, never listed")
    (tmp_path / ".a.123.tmp").write_bytes(b"half writ")
    assert set(folder.files()) == {"a"}
    assert folder.leftovers() == [tmp_path / ".a.123.tmp", tmp_path / "b"]
    folder.commit({"b": b"whole"})
    assert folder.read("b") == b"whole"


@pytest.mark.parametrize("damage", [b"", b"123", b"12345678x", b"abcdefghi"])
def test_any_damage_is_noticed_and_named(tmp_path, damage):
    folder = Folder(tmp_path)
    folder.commit({"weights": b"123456789"})
    (tmp_path / "weights").write_bytes(damage)
    with pytest.raises(
        InputError, match=r"weights: damaged .* restore it from a copy, or move .* run the command again"
    ):
        folder.read("weights")


def test_a_missing_file_is_named(tmp_path):
    folder = Folder(tmp_path)
    folder.commit({"weights": b"1"})
    (tmp_path / "weights").unlink()
    with pytest.raises(InputError, match="weights: cannot be read"):
        folder.read("weights")
    with pytest.raises(InputError, match="bias: not part of a committed state, which is: weights"):
        folder.read("bias")


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', '{"files": {"a"'])
def test_a_damaged_manifest_is_named(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(
        InputError, match=r"manifest\.json: damaged .* move .* away and run the command again"
    ):
        Folder(tmp_path).files()
