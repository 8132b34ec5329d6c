import copy
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from covalign.errors import InputError
from covalign.networks.network import Network
from covalign.studies.lineage.measure import lineage
from covalign.studies.subjects import load_network
from covalign.training.loop import train
from samples.networks import images, module, permuted, read

WIDTHS = (16, 24, 32)


def joint(seed=0):
    return module("joint", WIDTHS, seed=seed)


def read_as(model, name):
    return read(model, name)


@torch.no_grad()
def moved(model, size=0.5, seed=5):
    """Every convolution changed by noise of that relative size."""
    twin = copy.deepcopy(model)
    draw = torch.Generator().manual_seed(seed)
    for part in twin.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            noise = torch.randn(part.weight.shape, generator=draw)
            part.weight += size * part.weight.norm() * noise / noise.norm()
    return twin


@torch.no_grad()
def each_weight(model, change):
    twin = copy.deepcopy(model)
    for part in twin.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.weight.copy_(change(part.weight))
    return twin


def pruned(weight, share=0.9):
    size = weight.abs()
    return weight * (size > size.flatten().kthvalue(int(share * size.numel())).values)


def eight_bits(weight):
    step = weight.abs().flatten(1).amax(1).view(-1, *[1] * (weight.ndim - 1)) / 127
    return (weight / step).round() * step


def file(folder, model, name="model", **renamed):
    path = folder / f"{name}.safetensors"
    state = {renamed.get("prefix", "") + key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, path)
    return path


def judge(a, b, *others, **options):
    return lineage(
        {"a": a, "b": b, **{f"c{i}": each for i, each in enumerate(others)}}, draws=9_999, **options
    )


def test_a_file_and_its_copy_are_the_same_file(tmp_path):
    one, two = (file(tmp_path, joint(), name) for name in "xy")
    for other in (one, two):
        found = judge(one, other)
        assert found.verdict == "same_file"
        assert found.cannot_exclude == ()


@pytest.mark.parametrize(
    "twin",
    [
        copy.deepcopy,
        lambda model: permuted(model)[0],
        lambda model: each_weight(model, lambda w: w.half().float()),
        lambda model: each_weight(model, lambda w: w * torch.rand(len(w), *[1] * (w.ndim - 1)).add(0.1)),
    ],
    ids=["copy", "permuted", "half precision", "rescaled"],
)
def test_order_scales_and_precision_leave_the_same_weights(twin):
    base = joint()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = judge(base, twin(base))
    assert found.verdict == "same_weights"
    assert found.p_value < 0.01
    assert any("b was derived from a" in each for each in found.cannot_exclude)
    assert any("a was derived from b" in each for each in found.cannot_exclude)


def test_folded_batch_norm_other_names_and_another_format_leave_the_same_weights(tmp_path):
    base = joint()
    folded = {}
    for index, stage in enumerate(base.stages):
        scale = stage.norm.running_var.add(stage.norm.eps).rsqrt()
        folded[f"trunk.{index}.weight"] = stage.convolution.weight.detach() * scale[:, None, None, None]
    folded["top.weight"] = base.head.weight.detach().clone()
    torch.save(folded, tmp_path / "folded.pt")
    found = judge(file(tmp_path, base), tmp_path / "folded.pt")
    assert found.verdict == "same_weights"


@pytest.mark.parametrize(
    "change", [lambda model: model, lambda model: permuted(model)[0]], ids=["", "permuted"]
)
def test_folded_batch_norms_of_negative_scale_leave_the_same_weights(change):
    base = joint()
    twin = copy.deepcopy(change(base))
    with torch.no_grad():
        for seed, stage in enumerate(twin.stages):
            weight = stage.convolution.weight
            weight *= torch.randn(len(weight), 1, 1, 1, generator=torch.Generator().manual_seed(seed))
    assert judge(base, twin).verdict == "same_weights"


@pytest.mark.parametrize(
    ("made", "change"),
    [
        (moved, "trained"),
        (lambda model: permuted(moved(model, 0.3))[0], "trained"),
        (lambda model: each_weight(model, pruned), "pruned"),
        (lambda model: each_weight(model, eight_bits), "quantized"),
        (lambda model: permuted(each_weight(model, eight_bits))[0], "quantized"),
    ],
    ids=["fine-tuned", "permuted and fine-tuned", "pruned at 90 %", "int8", "permuted int8"],
)
def test_what_was_made_of_a_network_is_derived_and_how_is_said(made, change):
    base = joint()
    found = judge(base, made(base))
    assert found.verdict == "derived"
    assert found.p_value < 0.01
    hidden = found.layers[found.layers["telling"]]
    assert set(hidden["change"]) == {change}
    assert found.ancestor == ""
    assert any("b was derived from a" in each for each in found.cannot_exclude)
    assert any("a was derived from b" in each for each in found.cannot_exclude)


def test_the_strip_tells_frozen_tuned_and_new_layers_apart():
    base = joint()
    tuned = moved(base)
    with torch.no_grad():
        tuned.stages[0].convolution.weight.copy_(base.stages[0].convolution.weight)
        tuned.stages[1].convolution.weight.copy_(base.stages[1].convolution.weight)
    tuned.head = nn.Linear(WIDTHS[-1], 5)
    found = judge(base, tuned)
    assert found.verdict == "derived"
    own = found.layers[found.layers["layer_a"] != ""]
    assert list(own["change"]) == ["same", "same", "trained", ""]
    assert list(own["relation"]) == ["same_order", "same_order", "same_order", "missing"]


def test_independent_seeds_are_independent_and_what_would_have_shown_is_said():
    found = judge(joint(0), joint(1))
    assert found.verdict == "independent"
    assert found.layers.loc[found.layers["telling"], "detectable"].between(0, 0.5).all()
    assert any("only images can tell" in each for each in found.cannot_exclude)
    assert any("distillation" in each for each in found.cannot_exclude)


def test_images_tell_networks_that_learned_alike_from_unrelated_ones(trained):
    run, train_images, test_images = trained
    spec = replace(run.spec, seed=run.spec.seed + 1)
    other = train(spec, images=(train_images, test_images), progress=False)
    assert judge(run, other, images=train_images).verdict == "independent"
    found = judge(read_as(joint(0), "x"), read_as(joint(1), "y"), images=images())
    assert found.verdict == "unrelated"
    assert not any("only images can tell" in each for each in found.cannot_exclude)


def with_start(network, start):
    return replace(
        network,
        layers=tuple(
            replace(layer, initial=before.weight)
            for layer, before in zip(network.layers, start.layers, strict=True)
        ),
    )


def test_stored_initial_weights_tell_a_common_start_from_a_descent():
    start = joint()
    one = moved(start, 0.6, 1)
    two, child = moved(start, 0.6, 2), moved(one, 0.6, 3)
    read_start, read_one = read_as(start, "start"), with_start(read_as(one, "one"), read_as(start, "start"))
    siblings = judge(read_one, with_start(read_as(two, "two"), read_start))
    assert siblings.verdict == "common_ancestor"
    descent = judge(read_one, read_as(child, "child"))
    assert (descent.verdict, descent.ancestor) == ("derived", "a")
    assert descent.cannot_exclude == ()
    tuned = judge(read_as(child, "child"), with_start(read_as(moved(one, 0.6, 4), "other"), read_one))
    assert tuned.verdict == "common_ancestor"
    handed_over = judge(read_as(one, "one"), with_start(read_as(child, "child"), read_as(one, "one")))
    assert (handed_over.verdict, handed_over.ancestor) == ("derived", "a")


def test_a_third_network_shows_siblings_and_merges_and_no_direction_without_need():
    parent = joint()
    one, two = moved(parent, 0.6, 1), moved(parent, 0.6, 2)
    assert judge(one, two).verdict == "derived"
    siblings = judge(one, two, parent)
    assert (siblings.verdict, siblings.ancestor) == ("common_ancestor", "")
    assert siblings.cannot_exclude == ("that one was derived from the other by way of c0",)
    merged = copy.deepcopy(one)
    with torch.no_grad():
        for part, other in zip(merged.parameters(), two.parameters(), strict=True):
            part.copy_((part + other) / 2)
    assert judge(one, merged, two).ancestor == "a"
    assert judge(parent, one, two).ancestor == ""


def test_other_architectures_and_a_handful_of_neurons_are_undecided():
    assert judge(joint(), module("joint", (12, 20), seed=1)).verdict == "undecided"
    few = [nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)) for _ in "ab"]
    found = judge(*few)
    assert found.verdict == "undecided"
    assert found.p_value == 1


def test_layers_with_equal_names_belong_together_in_whatever_order_a_file_has_them(tmp_path):
    base = joint()
    turned = dict(reversed(moved(base).state_dict().items()))
    torch.save(base.state_dict(), tmp_path / "base.pt")
    torch.save(turned, tmp_path / "turned.pt")
    for pair in (("base", "turned"), ("turned", "base")):
        found = judge(*(tmp_path / f"{name}.pt" for name in pair))
        assert found.verdict == "derived"
        assert (found.layers["layer_a"] == found.layers["layer_b"]).all()


def test_a_layer_from_inputs_to_classes_is_never_evidence_by_itself():
    """Two softmax regressions on one task agree row by row and share no origin."""
    task = torch.randn(32, 64, generator=torch.Generator().manual_seed(0))
    regressions = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 32))
        model[1].weight.data = task + 0.3 * torch.randn(32, 64)
        regressions.append(model)
    found = judge(*regressions)
    assert found.verdict == "undecided"
    assert found.p_value == 1
    assert any("trained on one task" in doubt for doubt in found.cannot_exclude)
    assert found.layers["relation"].tolist() == ["meanings"]
    assert judge(regressions[0], copy.deepcopy(regressions[0])).verdict == "same_weights"


def test_a_shared_bank_or_first_layer_is_no_relation(tmp_path):
    networks = []
    draw = torch.Generator().manual_seed(0)
    bank = torch.randn(16, 1, 3, 3, generator=draw)
    first = torch.randn(16, 3, 3, 3, generator=draw)
    for name in "xy":
        tensors = {"a.weight": first.clone(), "b.weight": bank.clone()}
        tensors["c.weight"] = torch.randn(24, 16, 1, 1, generator=draw)
        tensors["d.weight"] = torch.randn(24, 24, 3, 3, generator=draw)
        torch.save(tensors, tmp_path / f"{name}.pt")
        networks.append(tmp_path / f"{name}.pt")
    found = judge(*networks)
    assert found.verdict == "undecided"
    assert any("filters that both makers took" in each for each in found.cannot_exclude)


def test_frozen_factorized_filters_are_no_relation():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = [
            each_weight(module("factorized", WIDTHS), lambda w: w if w.shape[1] == 1 else torch.randn_like(w))
            for _ in "ab"
        ]
    found = judge(*networks)
    assert found.verdict == "independent"


def test_networks_that_start_from_the_identity_are_no_relatives():
    networks = []
    for seed in (0, 1):
        draw = torch.Generator().manual_seed(seed)
        layers = [nn.Conv2d(16, 16, 3) for _ in range(4)]
        for layer in layers:
            noise = 0.03 * torch.randn(layer.weight.shape, generator=draw)
            layer.weight = nn.Parameter(nn.init.dirac_(torch.empty(16, 16, 3, 3)) + noise)
        networks.append(nn.Sequential(nn.Conv2d(3, 16, 3), *layers))
    found = judge(*networks)
    assert found.verdict == "undecided"
    assert list(found.layers["relation"])[1:4] == ["fixed"] * 3


def test_added_layers_do_not_put_the_others_out_of_step(tmp_path):
    base = [torch.randn(16, c, 3, 3) for c in (3, 16, 16, 16)]
    extra = torch.randn(16, 16, 5, 5)
    torch.save({f"x.{i}.weight": w for i, w in enumerate(base)}, tmp_path / "x.pt")
    names = {f"y.{i}.weight": w for i, w in enumerate([*base[:2], extra, *base[2:]])}
    torch.save(names, tmp_path / "y.pt")
    found = judge(tmp_path / "x.pt", tmp_path / "y.pt")
    assert found.verdict == "derived"
    assert list(found.layers["layer_b"]) == [f"y.{place}" for place in (0, 1, 3, 4, 2)]


@pytest.mark.parametrize(
    ("networks", "options", "message"),
    [
        ([joint()], {}, "got 1 network, expected at least two"),
        ("a.pt", {}, "got the text 'a.pt', expected a list"),
        ([joint(), joint()], {"draws": 10}, "expected at least 999 draws"),
        ([joint(), joint()], {"max_images": 0}, "and 1 image"),
        ([joint(), "nowhere.pt"], {}, "no such file"),
    ],
)
def test_bad_input_is_refused_in_one_line(networks, options, message):
    with pytest.raises(InputError, match=message):
        lineage(networks, **options)


def test_images_that_no_network_can_read_are_refused_and_not_passed_over():
    with pytest.raises(InputError, match="normaliz"):
        judge(joint(0), joint(1), images=images())


def test_networks_without_layers_in_common_have_no_rows_that_say_otherwise():
    one = read_as(joint(), "one")
    empty = Network("bare", one.layers[-1:])
    found = judge(one, empty)
    assert found.verdict == "undecided"
    assert load_network(one).name == "one"
