import sys

import pytest

from covalign.storage.caches import cache_folder


@pytest.mark.skipif(sys.platform != "linux", reason="the folder follows the platform")
def test_the_folder_is_where_caches_go(monkeypatch, tmp_path):
    for name in ("COVALIGN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("images") == tmp_path / ".cache" / "covalign" / "images"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("images") == tmp_path / "xdg" / "covalign" / "images"
    monkeypatch.setenv("COVALIGN_CACHE", str(tmp_path / "own"))
    assert cache_folder("images") == tmp_path / "own" / "images"
    assert cache_folder() == tmp_path / "own"
