"""What a stranger types wrong is answered in one line that names what was meant."""

import pytest

from cli.test_app import covalign, refused

SOME = "covalign:resnet20"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("diff", SOME, SOME, "--seed", 10**30), "expected a number of at most 18 digits"),
        (("diff", SOME, "covalign:resnt20"), "did you mean 'resnet20'?"),
        (("energy", "--images", "phots"), "did you mean 'photos'?"),
        (("energy", "--images", "photos", "--time", 0), "--time): got 0, expected a positive training time"),
        (("energy", "--images", "photos", "--time", "nan"), "--time): got nan, expected a positive"),
        (("reproduce", "fig4"), "did you mean 'encodings-fig4' or 'first-layer-fig4'?"),
        (
            ("train", "absent.toml"),
            "absent.toml: cannot be read (No such file or directory); expected a TOML file",
        ),
    ],
)
def test_the_answer_names_what_was_meant(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    out = () if arguments[0] in ("train", "reproduce") else ("--out", tmp_path / "out")
    refused(covalign(capsys, *arguments, *out), said)
    assert not (tmp_path / "out").exists()


def test_a_device_that_is_not_there_is_said_in_one_short_line(capsys, tmp_path):
    answer = covalign(capsys, "energy", "--images", "photos", "--device", "mps", "--out", tmp_path / "out")
    refused(answer, "--device: got mps, which is not there")
    assert len(answer[2]) < 250


@pytest.mark.parametrize(
    "arguments", [("runs", "list"), ("train", "demo"), ("compare", "0", "1", "--out", "x")]
)
def test_a_file_is_no_store(capsys, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    refused(covalign(capsys, *arguments, "--store", "file"), "file is a file, expected a folder of trainings")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_nothing_left_over_needs_no_deleting(capsys, tmp_path):
    status, out, _ = covalign(capsys, "runs", "gc", "--store", tmp_path)
    assert (status, out) == (0, "0 leftover files found\n")
