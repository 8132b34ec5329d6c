"""R along a training: the numbers of a comparison, in a file that only grows, and a module left as it was."""

import json
import math
import random
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from covalign.errors import InputError
from covalign.studies.comparison.measure import compare
from covalign.studies.subjects import load_network
from covalign.studies.tracking.lightning import lightning_callback
from covalign.studies.tracking.tracker import Tracker, undisturbed
from covalign.studies.tracking.trainer import trainer_callback
from samples.networks import NORMALIZATION, images, module


def tracking(path, **options):
    return Tracker(module("joint", seed=1), images(), path, normalization=NORMALIZATION, **options)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class Written(list):
    def add_scalar(self, tag, scalar_value, global_step):
        self.append((tag, scalar_value, global_step))


def test_its_numbers_are_those_of_a_comparison(tmp_path):
    own, writer = module("joint"), Written()
    found = tracking(tmp_path / "R.jsonl", writer=writer)(own, 7)
    pair = {
        name: load_network(each, normalization=NORMALIZATION)
        for name, each in (("a", own), ("b", module("joint", seed=1)))
    }
    table = compare(pair, images(), draws=2, controls=False, calibrate=False).table
    columns = ["layer_a", "debiased", "debiased_low", "debiased_high"]
    logged = lines(tmp_path / "R.jsonl")
    assert len(logged) == len(found) == len(table) > 2
    for line, row in zip(logged, table[columns].itertuples(index=False), strict=True):
        expected = [row[0], *(None if math.isnan(value) else pytest.approx(value) for value in row[1:])]
        assert [line[key] for key in ("layer", "R", "low", "high")] == expected
        assert line["step"] == 7
        assert line["R"] is not None or line["reason"]
    assert any(line["R"] is not None for line in logged)
    known = {(f"R/{line['layer']}", line["R"], 7) for line in logged if line["R"] is not None}
    assert known == {entry for entry in writer if entry[0].startswith("R/")}


def test_a_copy_of_the_reference_is_the_same(tmp_path):
    found = tracking(tmp_path / "R.jsonl")(module("joint", seed=1), 0)
    assert {each.R for each in found if math.isfinite(each.R)} == {1.0}


def test_the_reference_does_not_follow_the_module(tmp_path):
    own = module("joint", seed=1)
    track = Tracker(own, images(), tmp_path / "R.jsonl", normalization=NORMALIZATION)
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.copy_(torch.randn_like(parameter))
    assert all(each.R < 0.9 for each in track(own, 0) if math.isfinite(each.R))


class Drawing(nn.Module):
    """Draws from every generator and counts its passes, whatever its mode."""

    def __init__(self):
        super().__init__()
        self.inner = module("joint")
        self.register_buffer("passes", torch.zeros(1))

    def forward(self, x):
        self.passes += 1
        noise = torch.rand(1) + random.random() + np.random.rand()  # noqa: NPY002
        return self.inner(x) + 0 * float(noise)


def test_the_module_is_left_as_it_was(tmp_path):
    own = Drawing()
    own.train()
    own.inner.stages[0].eval()  # a part that was frozen stays so
    own.inner.stages[1].convolution.weight.requires_grad_(False)
    heard = own.inner.head.register_forward_hook(lambda *_: None)
    own(images().pixels[:4].float()).sum().backward()

    def state():
        parts = list(own.modules())
        return (
            [part.training for part in parts],
            [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in parts],
            [parameter.requires_grad for parameter in own.parameters()],
            torch.is_grad_enabled(),
        )

    def tensors():
        kept = [*own.parameters(), *own.buffers(), *(p.grad for p in own.parameters() if p.grad is not None)]
        return [each.detach().clone() for each in kept] + [torch.get_rng_state()]

    numpy = np.random.get_state()[1].copy()  # noqa: NPY002
    before, values = state(), tensors()
    assert tracking(tmp_path / "R.jsonl")(own, 0)
    assert state() == before
    assert all(torch.equal(one, other) for one, other in zip(values, tensors(), strict=True))
    assert (numpy == np.random.get_state()[1]).all()  # noqa: NPY002
    own(images().pixels[:4].float()).sum().backward()
    heard.remove()


def test_draws_of_others_are_as_they_would_have_been():
    """The tracker's own use cannot be seen here: checks of types draw from Python's generator in tests."""
    before = random.getstate()
    with undisturbed(nn.Module()):
        random.random()
        drawn = random.getstate()
    assert random.getstate() == before != drawn


@pytest.mark.slow
def test_a_training_goes_the_same_way_with_it(tmp_path):
    def trained(track):
        torch.manual_seed(3)
        own = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.Dropout(), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8)
        )
        optimizer = torch.optim.SGD(own.parameters(), 0.1)
        for step in range(3):
            track(own, step)
            optimizer.zero_grad()
            own(torch.rand(8, 3, 8, 8)).square().mean().backward()
            optimizer.step()
        return own.state_dict()

    reference = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3))
    track = Tracker(reference, images(), tmp_path / "R.jsonl", normalization="none")
    tracked, plain = trained(track), trained(lambda *_: None)
    assert len({line["step"] for line in lines(tmp_path / "R.jsonl")}) == 3
    assert all(torch.equal(tracked[name], plain[name]) for name in plain)


def test_only_due_steps_are_measured_each_once_and_the_file_grows(tmp_path):
    path, own = tmp_path / "logs" / "R.jsonl", module("joint")
    track = tracking(path, every=10, layers=["stages.1.convolution"])
    measured = [step for step in (0, 0, 3, 10) if track(own, step)]
    assert measured == [0, 10]
    assert track(own, 13, now=True)
    path.write_text(path.read_text() + '{"step": 13, "lay')  # as a crash may leave it
    assert tracking(path, layers=["stages.1.convolution"])(own, 14)
    whole = path.read_text().splitlines()
    assert [json.loads(line)["step"] for line in (*whole[:3], whole[4])] == [0, 10, 13, 14]


@pytest.mark.slow
def test_weights_that_are_no_longer_finite_do_not_end_the_training(tmp_path):
    path, own = tmp_path / "R.jsonl", module("joint")
    track = tracking(path)
    track(own, 0)
    with torch.no_grad():
        next(own.parameters()).fill_(math.nan)
    (found,) = track(own, 1)
    assert "not finite" in found.reason
    assert lines(path)[-1] == {
        "step": 1,
        "layer": "",
        "R": None,
        "low": None,
        "high": None,
        "reason": found.reason,
    }
    with pytest.raises(InputError, match="not finite"):
        tracking(path)(own, 0)


def test_what_cannot_be_used_is_said_before_the_training(tmp_path):
    with pytest.raises(InputError, match="every: got 0"):
        tracking(tmp_path / "R.jsonl", every=0)
    with pytest.raises(InputError, match="cannot be written"):
        tracking(tmp_path)


@pytest.fixture
def stand_ins(monkeypatch):
    """Modules with the classes that callbacks inherit from."""
    for name, base in (("transformers", "TrainerCallback"), ("pytorch_lightning", "Callback")):
        stand_in = types.ModuleType(name)
        setattr(stand_in, base, type(base, (), {}))
        monkeypatch.setitem(sys.modules, name, stand_in)


def test_callbacks_tell_the_tracker_the_step_and_the_part(stand_ins):
    told = []
    whole = nn.Sequential(module("joint"))

    class Told(Tracker):
        def __init__(self):
            pass

        def __call__(self, module, step, now=False):
            told.append((module is whole[0], step, now))
            return []

    track = Told()
    callback = trainer_callback(track, "0")
    states = [types.SimpleNamespace(global_step=step, is_world_process_zero=True) for step in (0, 1, 1)]
    callback.on_train_begin(None, states[0], None, model=whole)
    callback.on_step_end(None, states[1], None, model=whole)
    callback.on_train_end(None, states[2], None, model=whole)
    elsewhere = types.SimpleNamespace(global_step=2, is_world_process_zero=False)
    callback.on_step_end(None, elsewhere, None, model=whole)
    assert told == [(True, 0, True), (True, 1, False), (True, 1, True)]
    told.clear()
    callback = lightning_callback(track, "0")
    trainer = types.SimpleNamespace(global_step=0, is_global_zero=True)
    callback.on_train_start(trainer, whole)
    trainer.global_step = 5
    callback.on_train_batch_end(trainer, whole, None, None, 0)
    callback.on_train_end(trainer, whole)
    trainer.is_global_zero = False
    callback.on_train_end(trainer, whole)
    assert told == [(True, 0, True), (True, 5, False), (True, 5, True)]


@pytest.mark.parametrize(("callback", "line"), [
    (trainer_callback, r"pip install 'transformers\[torch\]'"),
    (lightning_callback, r"in a plain loop call tracker\(module, step\)"),
])  # fmt: skip
def test_a_missing_library_is_named_with_the_line_that_installs_it(callback, line, monkeypatch, tmp_path):
    for name in ("transformers", "lightning", "lightning.pytorch"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=line):
        callback(tracking(tmp_path / "R.jsonl"))
