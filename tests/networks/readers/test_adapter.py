"""Adapters: the update that they are, whatever their factors and names."""

import json

import pytest
import safetensors.torch
import torch
from torch import nn

from covalign.errors import InputError
from covalign.networks.readers.adapter import adapted
from covalign.networks.readers.opening import read_adapter, read_network
from covalign.studies.difference.measure import diff

GENERATOR = torch.Generator().manual_seed(0)


def normal(*shape):
    return 0.1 * torch.randn(*shape, generator=GENERATOR)


BASE = {
    "conv.weight": normal(16, 3, 3, 3), "mid.weight": normal(16, 16, 3, 3),
    "attn.to_q.weight": normal(12, 16), "fc.weight": normal(10, 12), "fc.bias": normal(10),
}  # fmt: skip
A_CONV, B_CONV = normal(4, 3, 3, 3), normal(16, 4, 1, 1)
A_LINE, B_LINE = normal(2, 16), normal(12, 2)
UPDATE = {
    "conv": torch.einsum("or,rcij->ocij", B_CONV[:, :, 0, 0].double(), A_CONV.double()),
    "attn.to_q": (B_LINE.double() @ A_LINE.double())[:, :, None, None],
}


def lora(down, up, target="{}"):
    """Both updates under the names of one maker."""
    pairs = {"conv": (A_CONV, B_CONV), "attn.to_q": (A_LINE, B_LINE)}
    return {
        f"{target.format(name)}{ending}": factor
        for name, factors in pairs.items()
        for ending, factor in zip((down, up), factors, strict=True)
    }


def kohya():
    named = lora(".lora_down.weight", ".lora_up.weight", "lora_unet_{}")
    return {key.replace(".to_q", "_to_q"): factor for key, factor in named.items()}


MAKERS = {
    "PEFT": lora(".lora_A.weight", ".lora_B.weight", "base_model.model.{}"),
    "PEFT, named": lora(".lora_A.default.weight", ".lora_B.default.weight", "base_model.model.{}"),
    "diffusers": lora(".lora_A.weight", ".lora_B.weight", "unet.{}"),
    "diffusers, older": lora(".lora.down.weight", ".lora.up.weight"),
    "processors": {
        k.replace("attn.to_q", "attn.processor.to_q"): v
        for k, v in lora("_lora.down.weight", "_lora.up.weight").items()
    },
    "kohya": kohya(),
    "loralib": lora(".lora_A", ".lora_B"),
}


@pytest.fixture
def base(tmp_path):
    safetensors.torch.save_file(BASE, tmp_path / "base.safetensors")
    return tmp_path / "base.safetensors"


def applied(base, weights, name="adapter.safetensors"):
    path = base.with_name(name)
    safetensors.torch.save_file({key: value.contiguous() for key, value in weights.items()}, path)
    return adapted(read_network(base), read_adapter(path))


@pytest.mark.parametrize("weights", MAKERS.values(), ids=MAKERS)
def test_the_update_is_the_product_of_its_factors_whoever_names_them(base, weights):
    network = applied(base, weights)
    for layer in read_network(base).layers:
        change = network.layer(layer.name).weight.double() - layer.weight.double()
        torch.testing.assert_close(
            change, UPDATE.get(layer.name, torch.zeros_like(change)), atol=1e-12, rtol=1e-9
        )


@pytest.mark.parametrize("weights", MAKERS.values(), ids=MAKERS)
def test_factors_are_no_layers(base, weights):
    path = base.with_name("adapter.safetensors")
    safetensors.torch.save_file(weights, path)
    with pytest.raises(
        InputError, match=r"a factor of an update \(adapter\); with the base: covalign diff BASE ADAPTER"
    ):
        read_network(path)


def test_the_same_update_in_other_factors_is_the_same_change_of_the_same_rank(base):
    turn = torch.linalg.qr(torch.randn(4, 4, generator=GENERATOR)).Q
    weights = MAKERS["PEFT"]
    other = dict(weights)
    other["base_model.model.conv.lora_A.weight"] = torch.einsum("ab,bcij->acij", turn, A_CONV)
    other["base_model.model.conv.lora_B.weight"] = torch.einsum("oaij,ba->obij", B_CONV, turn)
    tables = []
    for name, factors in (("one.safetensors", weights), ("two.safetensors", other)):
        safetensors.torch.save_file({k: v.contiguous() for k, v in factors.items()}, base.with_name(name))
        tables.append(diff(base, base.with_name(name), draws=2).table)
    assert tables[0]["update_rank"].tolist() == [2, 4, 0, 0] or sorted(tables[0]["update_rank"]) == [
        0,
        0,
        2,
        4,
    ]
    assert tables[0]["update_rank"].tolist() == tables[1]["update_rank"].tolist()
    for measure in ("relative_change", "rotation", "update_effective_rank"):
        assert tables[0][measure].tolist() == pytest.approx(tables[1][measure].tolist(), rel=1e-4, abs=1e-12)


@pytest.mark.parametrize(
    ("stated", "scale"),
    [
        ({"lora_alpha": 8, "r": 4}, 2.0),
        ({"lora_alpha": 8, "use_rslora": True}, 4.0),
        ({"lora_alpha": 4, "alpha_pattern": {"conv": 12}}, 3.0),
    ],
)
def test_alpha_is_taken_from_the_configuration(base, stated, scale):
    (base.parent / "adapter_config.json").write_text(json.dumps(stated))
    change = applied(base, MAKERS["PEFT"]).layer("conv").weight - BASE["conv.weight"].double()
    torch.testing.assert_close(change, scale * UPDATE["conv"])


def test_alpha_beside_the_factors_comes_first(base):
    weights = {**kohya(), "lora_unet_conv.alpha": torch.tensor(2.0)}
    network = applied(base, weights)
    torch.testing.assert_close(
        network.layer("conv").weight - BASE["conv.weight"].double(), 0.5 * UPDATE["conv"]
    )
    assert network.details["scale"] == [0.5, 1.0]


def test_a_scale_that_nobody_states_is_said_to_be_taken_as_one(base):
    assert applied(base, MAKERS["loralib"]).details["scale"] == "not stated, taken as 1"


def test_hadamard_kronecker_and_full_updates_are_what_they_say(base):
    w1a, w1b, w2a, w2b = normal(12, 3), normal(3, 16), normal(12, 3), normal(3, 16)
    one, two = normal(3, 4), normal(4, 4)
    cases = {
        "hada": (
            {"hada_w1_a": w1a, "hada_w1_b": w1b, "hada_w2_a": w2a, "hada_w2_b": w2b},
            (w1a @ w1b) * (w2a @ w2b),
        ),
        "lokr": ({"lokr_w1": one, "lokr_w2": two}, torch.kron(one, two)),
    }
    for factors, expected in cases.values():
        network = applied(base, {f"lora_unet_attn_to_q.{key}": value for key, value in factors.items()})
        change = network.layer("attn.to_q").weight[:, :, 0, 0] - BASE["attn.to_q.weight"].double()
        torch.testing.assert_close(change, expected.double(), rtol=1e-4, atol=1e-7)


def test_a_middle_factor_acts_over_space(base):
    up, mid, down = normal(16, 4, 1, 1), normal(4, 4, 3, 3), normal(4, 16, 1, 1)
    factors = {"lora_up.weight": up, "lora_mid.weight": mid, "lora_down.weight": down}
    network = applied(base, {f"lora_unet_mid.{key}": value for key, value in factors.items()})
    net = nn.Sequential(
        nn.Conv2d(16, 4, 1, bias=False), nn.Conv2d(4, 4, 3, bias=False), nn.Conv2d(4, 16, 1, bias=False)
    )
    for part, weight in zip(net, (down, mid, up), strict=True):
        part.weight.data = weight
    x = torch.randn(1, 16, 5, 5, generator=GENERATOR)
    change = (network.layer("mid").weight - BASE["mid.weight"].double()).float()
    torch.testing.assert_close(nn.functional.conv2d(x, change), net(x).detach(), rtol=1e-4, atol=1e-5)


def test_magnitudes_set_the_lengths_of_neurons(base):
    magnitude = torch.linspace(1, 2, 12)
    weights = {k: v for k, v in MAKERS["PEFT"].items() if "to_q" in k}
    weights["base_model.model.attn.to_q.lora_magnitude_vector"] = magnitude
    weight = applied(base, weights).layer("attn.to_q").weight.flatten(1)
    torch.testing.assert_close(weight.norm(dim=1), magnitude.double())
    before = BASE["attn.to_q.weight"].double() + UPDATE["attn.to_q"][:, :, 0, 0]
    torch.testing.assert_close(
        weight, magnitude.double()[:, None] * before / before.norm(dim=1, keepdim=True)
    )


def test_an_update_of_queries_keys_and_values_in_one_reaches_all_three(tmp_path):
    whole = normal(36, 12)
    torch.save({"attn.qkv.weight": whole, "attn.proj.weight": normal(12, 12)}, tmp_path / "base.pt")
    down, up = normal(2, 12), normal(36, 2)
    names = ("base_model.model.attn.qkv.lora_A.weight", "base_model.model.attn.qkv.lora_B.weight")
    safetensors.torch.save_file(dict(zip(names, (down, up), strict=True)), tmp_path / "adapter.safetensors")
    updated = adapted(read_network(tmp_path / "base.pt"), read_adapter(tmp_path / "adapter.safetensors"))
    assert updated.details["updated"] == ["attn.qkv.q", "attn.qkv.k", "attn.qkv.v"]
    rows = torch.cat([updated.layer(f"attn.qkv.{role}").weight for role in "qkv"])[:, :, 0, 0]
    torch.testing.assert_close(rows, whole.double() + up.double() @ down.double())


def test_what_the_base_lacks_is_listed_and_nothing_at_all_is_refused(base):
    odd = {"other.lora_A.weight": normal(2, 5), "other.lora_B.weight": normal(7, 2)}
    network = applied(base, {**MAKERS["PEFT"], **odd})
    assert network.details["not applied"] == [["other", "no layer of the base is called so"]]
    with pytest.raises(InputError, match=r"updates nothing that base has \(other: no layer of the base"):
        applied(base, odd)


def test_a_base_with_its_adapter_inside_is_a_network(base):
    weights = {**BASE, **lora(".lora_A", ".lora_B")}
    safetensors.torch.save_file(weights, base.with_name("both.safetensors"))
    assert read_adapter(base.with_name("both.safetensors")) is None
    assert len(read_network(base.with_name("both.safetensors")).layers) == 4


def test_singular_values_between_the_factors_are_applied(base):
    values = normal(2, 1)
    weights = {
        "base_model.model.attn.to_q.lora_A": A_LINE,
        "base_model.model.attn.to_q.lora_B": B_LINE,
        "base_model.model.attn.to_q.lora_E": values,
    }
    change = applied(base, weights).layer("attn.to_q").weight[:, :, 0, 0] - BASE["attn.to_q.weight"].double()
    expected = B_LINE.double() @ torch.diag(values.double()[:, 0]) @ A_LINE.double()
    torch.testing.assert_close(change, expected)


@pytest.mark.parametrize(
    "name", ["fc.weight", "fc.modules_to_save.weight", "fc.modules_to_save.default.weight"]
)
def test_modules_that_were_trained_whole_take_the_place_of_the_base_s(base, name):
    whole = normal(10, 12)
    network = applied(base, {**MAKERS["PEFT"], f"base_model.model.{name}": whole})
    assert torch.equal(network.layer("fc").weight[:, :, 0, 0], whole.double())
    torch.testing.assert_close(
        network.layer("conv").weight - BASE["conv.weight"].double(), UPDATE["conv"], atol=1e-12, rtol=1e-9
    )


def test_factors_beside_the_weight_that_they_update_are_a_network(base):
    weights = {**MAKERS["PEFT"], "base_model.model.conv.weight": BASE["conv.weight"]}
    safetensors.torch.save_file(weights, base.with_name("both.safetensors"))
    assert read_adapter(base.with_name("both.safetensors")) is None


DOWN, UP = torch.eye(2, 4), torch.ones(4, 2)
STATED = {"peft_type": "LORA", "r": 2, "lora_alpha": 2}


def changed(folder, targets, more=(), ending="safetensors", **stated):
    """By layer, how many times the product of the two factors was added to a base of zeros."""
    torch.save({f"{name}.weight": torch.zeros(4, 4) for name in ("0", "1", "1.fc")}, folder / "base.pt")
    factors = {f"base_model.model.{name}.lora_A.weight": DOWN.clone() for name in targets}
    factors |= {f"base_model.model.{name}.lora_B.weight": UP.clone() for name in targets}
    factors |= {f"base_model.model.{name}": factor for name, factor in dict(more).items()}
    path = folder / f"adapter_model.{ending}"
    (torch.save if ending == "bin" else safetensors.torch.save_file)(factors, path)
    (folder / "adapter_config.json").write_text(json.dumps({**STATED, **stated}))
    network = adapted(read_network(folder / "base.pt"), read_adapter(path))
    product = (UP @ DOWN).double()
    times = {e.name: float((e.weight.flatten(1) * product).sum()) / 8 for e in network.layers}
    assert all(torch.equal(e.weight.flatten(1).double(), times[e.name] * product) for e in network.layers)
    entries = {entry.name: entry.reason for entry in network.skipped}
    return {name: number for name, number in times.items() if number}, entries


@pytest.mark.parametrize("target", ["10", "11.fc", "pre1.fc", "conv.11.1.fc", "other.0"])
def test_a_name_that_only_ends_in_the_letters_of_a_layer_is_another_layer(tmp_path, target):
    found, left = changed(tmp_path, ["1", target])
    assert found == {"1": 1.0}
    assert left[f"base_model.model.{target}"] == "no layer of the base is called so"


@pytest.mark.parametrize("lead", ["", "net", "model.language_model"])
def test_what_stands_before_one_name_stands_before_all(tmp_path, lead):
    """A layer elsewhere, with the name of one of the base, is not that layer."""
    found, left = changed(tmp_path, [f"{lead}.{name}".strip(".") for name in ("0", "1", "1.fc", "tower.1")])
    assert found == {"0": 1.0, "1": 1.0, "1.fc": 1.0}
    assert list(left.values()) == ["no layer of the base is called so"]


def test_two_adapters_in_one_file_are_refused(tmp_path):
    second = {"1.lora_A.second.weight": 2 * DOWN, "1.lora_B.second.weight": UP.clone()}
    with pytest.raises(InputError, match=r"several adapters in one \(base_model.model.1 has more than one"):
        changed(tmp_path, ["1"], second)


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_the_bias_of_a_factor_is_no_factor(tmp_path, ending):
    found, left = changed(tmp_path, ["1"], {"1.lora_B.bias": torch.full((4,), 5.0)}, ending)
    assert found == {"1": 1.0}
    assert left["base_model.model.1.lora_B.bias"] == "an update of a bias: biases are not compared"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("^1", {"1": 4.0, "1.fc": 1.0}), ("1|fc", {"1": 4.0, "1.fc": 4.0}), ("^fc", {"1": 1.0, "1.fc": 1.0}),
        (r"\d\.fc", {"1": 1.0, "1.fc": 4.0}), ("c", {"1": 1.0, "1.fc": 1.0}),
    ],
)  # fmt: skip
def test_patterns_of_alpha_are_regular_expressions_of_whole_names_or_endings(tmp_path, key, expected):
    assert changed(tmp_path, ["1", "1.fc"], alpha_pattern={key: 8})[0] == expected


def test_a_pattern_that_is_none_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match="no regular expression"):
        changed(tmp_path, ["1"], alpha_pattern={"[1": 8})


@pytest.mark.parametrize("key", ["(1+)+x", ".*.*.*x", "(1|1)*x"])
def test_a_pattern_whose_search_could_take_forever_is_refused(tmp_path, key):
    with pytest.raises(InputError, match="expected at most 2 repetitions, none of a group"):
        changed(tmp_path, ["1", "1.fc"], alpha_pattern={key: 8})
