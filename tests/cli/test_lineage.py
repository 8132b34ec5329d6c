import pytest
from safetensors.torch import save_file

from cli.test_app import covalign
from studies.lineage.test_measure import joint, moved


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    base = joint()
    for name, model in (("base", base), ("tuned", moved(base)), ("stranger", joint(3))):
        save_file(model.state_dict(), folder / f"{name}.safetensors")
    return folder


def test_verdict_and_report_are_printed_and_written(capsys, files, tmp_path):
    out = tmp_path / "out"
    status, printed, _ = covalign(
        capsys, "lineage", files / "base.safetensors", files / "tuned.safetensors", "--out", out
    )
    assert status == 0
    assert printed.startswith(f"{out / 'report.html'}\nverdict: derived (p = ")
    assert (out / "layers.csv").is_file()


@pytest.mark.parametrize(
    ("other", "unwanted", "status"),
    [
        ("tuned", "derived,same_weights", 1),
        ("tuned", "independent", 0),
        ("stranger", "derived, common_ancestor", 0),
        ("stranger", "independent", 1),
    ],
)
def test_pipelines_fail_on_the_verdicts_they_name(capsys, files, other, unwanted, status):
    found, _, complaint = covalign(
        capsys,
        "lineage",
        files / "base.safetensors",
        files / f"{other}.safetensors",
        "--fail-if",
        unwanted,
    )
    assert found == status
    assert ("is among --fail-if" in complaint) == (status == 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("base.safetensors",), "got 1 network, expected at least two"),
        (
            ("base.safetensors", "tuned.safetensors", "--fail-if", "guilty"),
            "got 'guilty', expected one or more of",
        ),
        (("base.safetensors", "gone.safetensors"), "no such file"),
    ],
)
def test_bad_input_ends_in_one_line_and_status_two(capsys, files, arguments, message):
    given = [files / each if each.endswith("safetensors") else each for each in arguments]
    status, _, complaint = covalign(capsys, "lineage", *given)
    assert status == 2
    assert complaint.count("\n") == 1
    assert message in complaint
