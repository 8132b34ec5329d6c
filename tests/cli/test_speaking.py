"""What a command prints, where it writes, and what it never overwrites."""

import json
import shlex
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from cli.test_app import covalign, refused
from covalign.cli import commands, contents
from covalign.cli.contents import EXAMPLES

CHEAP = ("spatial", "lineage", "diff", "runs list", "runs gc", "completion")


@pytest.fixture
def weights(tmp_path):
    """Two weight files that no training made."""
    generator = torch.Generator().manual_seed(0)
    for name in "ab":
        save_file(
            {f"conv{i}.weight": torch.randn(8, 8, 3, 3, generator=generator) for i in range(2)},
            tmp_path / f"{name}.safetensors",
        )
    return tmp_path / "a.safetensors", tmp_path / "b.safetensors"


@pytest.mark.parametrize("name", CHEAP)
def test_the_example_of_a_help_works_as_it_stands(capsys, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    base = {"conv.weight": torch.randn(8, 8, 3, 3)}
    save_file(base, "base.safetensors")
    save_file({"conv.weight": base["conv.weight"] + 0.01 * torch.randn(8, 8, 3, 3)}, "finetuned.safetensors")
    status, out, err = covalign(capsys, *shlex.split(EXAMPLES[name])[1:])
    assert status == 0, err
    assert out


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("runs",),
        *((name,) for name in contents.COMMANDS),
        *(("runs", name) for name in contents.RUNS),
        *(("universal", name) for name in contents.UNIVERSAL),
    ],
)
def test_every_help_ends_with_an_example(capsys, words):
    said = covalign(capsys, *words, "--help")[1]
    example = " ".join(said[said.rindex("Example: ") :].split())
    commands.app.parse_args(shlex.split(example)[2:], exit_on_error=False, print_error=False)


def test_json_is_one_document_and_nothing_else(capsys, weights, tmp_path):
    status, out, _ = covalign(capsys, "spatial", weights[0], "--out", tmp_path / "out", "--json")
    said = json.loads(out)
    assert (status, said["kind"], said["path"]) == (0, "spatial", str(tmp_path / "out" / "report.html"))
    assert said["findings"]
    status, out, err = covalign(capsys, "spatial", "none.safetensors", "--out", tmp_path / "no", "--json")
    assert (status, err.count("\n")) == (2, 1)
    assert "none.safetensors" in json.loads(out)["error"]


def test_json_of_the_store_lists_its_runs(capsys, tmp_path):
    assert json.loads(covalign(capsys, "runs", "list", "--json", "--store", tmp_path)[1]) == []
    assert json.loads(covalign(capsys, "runs", "gc", "--json", "--store", tmp_path)[1])["leftovers"] == []


def test_quiet_says_the_path_alone(capsys, weights, tmp_path):
    status, out, err = covalign(capsys, "spatial", weights[0], "--out", tmp_path / "out", "--quiet")
    assert (status, out, err) == (0, f"{tmp_path / 'out' / 'report.html'}\n", "")


def test_findings_follow_the_path(capsys, weights, tmp_path):
    path, *findings = covalign(capsys, "spatial", weights[0], "--out", tmp_path / "out")[1].splitlines()
    assert path == str(tmp_path / "out" / "report.html")
    assert findings


def test_another_commands_result_is_not_replaced_unless_asked(capsys, weights, tmp_path):
    a, b = weights
    assert covalign(capsys, "spatial", a, "--out", tmp_path / "out")[0] == 0
    status, _, err = covalign(capsys, "spatial", a, "--out", tmp_path / "out")
    assert (status, "replaces what the same command wrote" in err) == (0, True)
    refused(covalign(capsys, "spatial", b, "--out", tmp_path / "out"), "holds a spatial", "--overwrite")
    assert covalign(capsys, "spatial", b, "--out", tmp_path / "out", "--overwrite")[0] == 0


def test_a_place_that_cannot_be_written_is_found_before_the_work(capsys, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr("covalign.cli.options.open_subject", None)  # would fail if it were reached
    refused(covalign(capsys, "spatial", "a", "--out", tmp_path / "file" / "out"), "file")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "report.html").write_text("mine")
    refused(covalign(capsys, "spatial", "a", "--out", tmp_path / "theirs"), "not written by covalign")
    assert (tmp_path / "theirs" / "report.html").read_text() == "mine"


def test_a_folder_that_was_made_for_nothing_goes_again(capsys, tmp_path):
    refused(covalign(capsys, "spatial", "none.safetensors", "--out", tmp_path / "new" / "out"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (("train", "laptpo"), "did you mean 'laptop'?"),
        (("reproduce", "encodings-fig44"), "did you mean 'encodings-fig4'?"),
        (("reproduce", "encodings-fig4", "--scale", "labtop"), "did you mean 'laptop'?"),
        (("lineage", "a", "b", "--fail-if", "derivd"), "did you mean 'derived'?"),
        (("compere", "a"), "compare"),
    ],
)
def test_the_nearest_name_is_offered(capsys, tmp_path, monkeypatch, words, nearest):
    monkeypatch.chdir(tmp_path)
    refused(covalign(capsys, *words), nearest)


def test_the_nearest_key_of_a_spec_is_offered(capsys, tmp_path):
    (tmp_path / "spec.toml").write_text("epoch = 3\n")
    refused(covalign(capsys, "train", tmp_path / "spec.toml"), "did you mean 'epochs'?")


def test_an_option_of_one_model_may_be_skipped_for_another(capsys, weights, tmp_path):
    models = ("covalign:resnet20", weights[0])
    options = ("--architecture", "-", "--architecture", "-", "--out", tmp_path / "out")
    status, _, err = covalign(capsys, "spatial", *models, *options)
    assert status == 0, err


def test_a_device_that_is_not_there_is_refused(capsys, weights, tmp_path):
    if not torch.cuda.is_available():
        words = ("spatial", weights[0], "--out", tmp_path / "out", "--device", "cuda")
        refused(covalign(capsys, *words), "--device: got cuda", "use cpu")


@pytest.mark.parametrize(
    ("command", "kept"),
    [("train", "last checkpoint"), ("compare", "compared pairs are kept"), ("diff", "nothing was written")],
)
def test_an_interruption_says_what_is_kept(capsys, monkeypatch, command, kept):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "app", interrupted)
    status, _, err = covalign(capsys, command, "a", "b")
    assert (status, kept in err) == (130, True)


def test_a_reader_who_has_read_enough_is_not_an_error():
    command = [sys.executable, "-m", "covalign.cli", "completion", "bash"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_shells_complete_the_commands_of_today(capsys, shell):
    said = covalign(capsys, "completion", shell)[1]
    assert "lineage" in said
    assert said == f"{commands.app.generate_completion(shell=shell)}\n", "run tools/make_completions.py"


def test_a_static_report_has_no_script(capsys, weights, tmp_path):
    assert covalign(capsys, "spatial", *weights, "--out", tmp_path / "out", "--static")[0] == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script" not in page
    assert "script-src 'none'" in page.replace("&#39;", "'")
