import copy

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from covalign.encoding.spatial import spatial_covariance
from covalign.networks.readers.opening import read_network
from samples.transformers import HEADS, WIDTH, Transformer, learned

QKV = ("q", "k", "v")


class Images(nn.Module):
    """Tokens of an image, handed to PyTorch's own encoder."""

    def __init__(self, batch_first=True, norm_first=True):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        layer = nn.TransformerEncoderLayer(16, 4, 24, batch_first=batch_first, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 5)
        self.batch_first = batch_first

    def tokens(self, x):
        x = self.patches(x).flatten(2)
        return x.transpose(1, 2) if self.batch_first else x.permute(2, 0, 1)

    def forward(self, x):
        return self.head(self.encoder(self.tokens(x)).mean(1 if self.batch_first else 0))


class Conv1D(nn.Module):
    """A linear layer as GPT-2 stores it."""

    def __init__(self, nf, nx):
        super().__init__()
        self.nf = nf
        self.weight = nn.Parameter(torch.randn(nx, nf))
        self.bias = nn.Parameter(torch.randn(nf))

    def forward(self, x):
        return torch.addmm(self.bias, x.flatten(0, -2), self.weight).view(*x.shape[:-1], self.nf)


class Attending(nn.Module):
    """One attention of two heads after a patch embedding, with a product that is cut in a way of its own."""

    def __init__(self, name, rows, split, turned=False):
        super().__init__()
        torch.manual_seed(1)
        self.patches = nn.Conv2d(3, 8, 4, 4)
        linear = Conv1D(rows, 8) if turned else nn.Linear(8, rows)
        self.attn = nn.ModuleDict({name: linear, "proj": nn.Linear(8, 8)})
        self.name, self.split = name, split

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        q, k, v = self.split(self.attn[self.name](x))
        weights = (q @ k.transpose(-1, -2) / 2).softmax(-1)
        return self.attn["proj"]((weights @ v).transpose(1, 2).flatten(2))


def blocks(x):
    return x.reshape(*x.shape[:2], 3, 2, 4).permute(2, 0, 3, 1, 4)


def by_heads(x):
    return x.reshape(*x.shape[:2], 2, 3, 4).permute(3, 0, 2, 1, 4)


def shared_keys(x):
    q, k, v = x.split([8, 4, 4], -1)
    return q.unflatten(-1, (2, 4)).transpose(1, 2), k[:, None], v[:, None]


def test_queries_keys_and_values_of_one_product_are_three_layers():
    module = learned()
    network = read_network(module)
    whole = module.blocks[0].attn["qkv"].weight.detach()
    for role, rows in zip(QKV, whole.chunk(3), strict=True):
        layer = network.layer(f"blocks.0.attn.qkv.{role}")
        assert torch.equal(layer.weight[:, :, 0, 0], rows)
        assert layer.part_of == "blocks.0.attn.qkv"
    received = network.source.inputs(torch.randn(2, 3, 16, 16), [f"blocks.0.attn.qkv.{r}" for r in QKV])
    assert len({value.data_ptr() for value in received.values()}) == 1


def test_order_wiring_and_names_are_those_of_a_transformer():
    network = read_network(Transformer(depth=1))
    names = [f"blocks.0.attn.qkv.{r}" for r in QKV] + [
        "blocks.0.attn.proj",
        "blocks.0.mlp.fc1",
        "blocks.0.mlp.fc2",
    ]
    assert [layer.name for layer in network.layers] == ["patch_embed", *names, "head"]
    assert network.wiring["blocks.0.attn.proj"] == tuple(names[:3])
    assert network.wiring["blocks.0.attn.qkv.k"] == ("patch_embed",)
    assert network.wiring["blocks.0.mlp.fc1"] == ("patch_embed", "blocks.0.attn.proj")


def test_the_output_projection_reads_the_heads():
    module = learned().float()
    x = torch.randn(2, 3, 16, 16)
    received = read_network(module).source.inputs(x, ["blocks.0.attn.proj"])["blocks.0.attn.proj"]
    with torch.no_grad():
        tokens = module.patch_embed(x).flatten(2).transpose(1, 2)
        stream = torch.cat([module.cls_token.expand(2, -1, -1), tokens], 1) + module.pos_embed
        heads = module.blocks[0].heads(module.blocks[0].norm1(stream))
    torch.testing.assert_close(received.transpose(1, 2), heads)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("images", [3, 16])  # as many images as tokens as well
def test_attention_of_pytorch_is_four_layers_that_receive_what_they_multiply(batch_first, images):
    torch.manual_seed(0)
    module = Images(batch_first).eval()
    network = read_network(module)
    x = torch.randn(images, 3, 16, 16)
    first = "encoder.layers.0.self_attn"
    names = [f"{first}.in_proj.{r}" for r in QKV] + [f"{first}.out_proj", "encoder.layers.0.linear1"]
    assert [layer.name for layer in network.layers][1:6] == names
    received = network.source.inputs(x, names)
    with torch.no_grad():
        tokens = module.tokens(x) if batch_first else module.tokens(x).transpose(0, 1)
        part = module.encoder.layers[0]
        read = part.norm1(tokens)
        q, k, v = (
            (read @ network.layer(n).weight[:, :, 0, 0].T + bias).unflatten(-1, (4, 4)).transpose(1, 2)
            for n, bias in zip(names, part.self_attn.in_proj_bias.chunk(3), strict=False)
        )
        heads = ((q @ k.transpose(-1, -2) / 2).softmax(-1) @ v).transpose(1, 2).flatten(2)
        after = part.norm2(tokens + part.self_attn.out_proj(heads))
    for name in names[:3]:
        torch.testing.assert_close(received[name].transpose(1, 2), read)
    torch.testing.assert_close(received[names[3]].transpose(1, 2), heads)
    torch.testing.assert_close(received[names[4]].transpose(1, 2), after)
    assert network.wiring[f"{first}.out_proj"] == tuple(names[:3])
    assert network.wiring["encoder.layers.0.linear1"] == ("patches", f"{first}.out_proj")
    assert [layer.token_norm is not None for layer in network.layers[1:6]] == [True] * 3 + [False, True]


def test_the_fast_path_of_pytorch_is_left_as_it_was():
    before = torch.backends.mha.get_fastpath_enabled()
    read_network(Images())
    assert torch.backends.mha.get_fastpath_enabled() == before


def test_an_encoder_that_takes_tokens_is_followed_on_tokens():
    module = Images(norm_first=False).encoder
    network = read_network(module)
    assert "8 tokens of 16 features" in network.details["order"]
    assert network.layer("layers.0.linear1").token_norm is not None
    assert network.layer("layers.0.self_attn.in_proj.q").token_norm is None
    assert network.layer("layers.1.self_attn.in_proj.q").token_norm is not None


def test_a_network_of_words_is_followed_on_words():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.norm, self.out = nn.Embedding(30, 8), nn.LayerNorm(8), nn.Linear(8, 3)

        def forward(self, words):
            return self.out(self.norm(self.table(words)))

    network = read_network(Words())
    assert "random words" in network.details["order"]
    assert network.layer("out").token_norm is not None
    assert [entry.name for entry in network.skipped] == ["table"]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("name", ["qkv", "qkv_proj"])
def test_a_product_is_cut_as_the_law_of_attention_says_whatever_it_is_called(name, turned):
    network = read_network(Attending(name, 24, blocks, turned))
    assert [layer.name for layer in network.layers] == [
        "patches",
        *(f"attn.{name}.{r}" for r in QKV),
        "attn.proj",
    ]
    assert "law of attention" in network.details["inferred"][f"attn.{name}"]


@pytest.mark.parametrize("name", ["qkv", "query_key_value"])
def test_a_product_that_is_stored_head_by_head_is_left_whole_and_said_to_be(name):
    network = read_network(Attending(name, 24, by_heads))
    assert [layer.name for layer in network.layers] == ["patches", f"attn.{name}", "attn.proj"]
    assert "order that is not known" in network.details["inferred"][f"attn.{name}"]


def test_heads_may_share_keys_and_values():
    network = read_network(Attending("qkv", 16, shared_keys))
    rows = {layer.name: layer.neurons for layer in network.layers}
    assert rows == {"patches": 8, "attn.qkv.q": 8, "attn.qkv.k": 4, "attn.qkv.v": 4, "attn.proj": 8}


def test_layers_of_gpt_2_are_read_neurons_first():
    module = Attending("c_attn", 24, blocks, turned=True)
    layers = {layer.name: layer.weight[:, :, 0, 0] for layer in read_network(module).layers}
    stored = module.attn["c_attn"].weight.detach()
    assert torch.equal(torch.cat([layers[f"attn.c_attn.{r}"] for r in QKV]), stored.T)


def test_a_file_of_gpt_2_holds_layers_neurons_first(tmp_path):
    torch.manual_seed(0)
    shapes = {"attn.c_attn": (24, 8), "attn.c_proj": (8, 8), "mlp.c_fc": (32, 8), "mlp.c_proj": (8, 32)}
    parts = {name: Conv1D(*shape) for name, shape in shapes.items()}
    state = {f"h.0.{n}.{own}": value for n, part in parts.items() for own, value in part.state_dict().items()}
    torch.save(state, tmp_path / "net.pt")
    layers = {layer.name: layer.weight[:, :, 0, 0] for layer in read_network(tmp_path / "net.pt").layers}
    together = torch.cat([layers[f"h.0.attn.c_attn.{r}"] for r in QKV])
    assert torch.equal(together, state["h.0.attn.c_attn.weight"].T)
    assert torch.equal(layers["h.0.mlp.c_proj"], state["h.0.mlp.c_proj.weight"].T)


@pytest.mark.parametrize("make", [Transformer, Images])
def test_a_file_holds_the_layers_of_its_module(make, tmp_path):
    torch.manual_seed(0)
    module = make()
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    torch.save(module.state_dict(), tmp_path / "net.pt")
    save_file(dict(module.state_dict()), tmp_path / "net.safetensors")
    expected = {layer.name: layer.weight for layer in read_network(module).layers}
    for name in ("net.pt", "net.safetensors"):
        network = read_network(tmp_path / name)
        assert {layer.name for layer in network.layers} == set(expected)
        assert all(torch.equal(layer.weight, expected[layer.name]) for layer in network.layers)


@pytest.mark.parametrize("make", [Transformer, Images])
def test_every_matrix_is_a_layer_once_or_is_listed(make):
    module = make()
    network = read_network(module)
    read = sum(layer.weight.numel() for layer in network.layers)
    listed = {name for entry in network.skipped for name in entry.name.split(", ")}
    matrices = {name: p for name, p in module.named_parameters() if p.ndim > 1 and name not in listed}
    assert read == sum(p.numel() for p in matrices.values())
    assert len({layer.name for layer in network.layers}) == len(network.layers)
    tables = {name for name, p in module.named_parameters() if p.ndim == 3}
    assert tables <= listed


def test_tokens_and_positions_are_called_what_they_are():
    reason = next(entry.reason for entry in read_network(Transformer()).skipped if "cls_token" in entry.name)
    assert "cls_token = learned tokens" in reason
    assert "pos_embed = a table of positions" in reason


def test_attention_of_a_subclass_with_its_own_way_is_not_read():
    class Own(nn.MultiheadAttention):
        def forward(self, query, key, value, **options):
            return super().forward(query, key, 2 * value, **options)

    module = Images()
    own = Own(16, 4, batch_first=True)
    own.load_state_dict(module.encoder.layers[0].self_attn.state_dict())
    module.encoder.layers[0].self_attn = own
    reasons = {entry.name: entry.reason for entry in read_network(module).skipped}
    assert "a way of its own" in reasons["encoder.layers.0.self_attn"]


def test_the_patch_embedding_has_a_spatial_covariance():
    found = spatial_covariance(read_network(learned()).layer("patch_embed").weight)
    assert found.eigenvalues.shape == (16,)


def test_reading_leaves_attention_as_it_was():
    module = learned()
    state = copy.deepcopy(module.state_dict())
    read_network(module).source.inputs(torch.randn(2, 3, 16, 16), ["blocks.0.attn.proj"])
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert WIDTH % HEADS == 0


@pytest.mark.parametrize(
    ("name", "beside", "whole"),
    [("Wqkv", "other", False), ("wqkv", "other", True), ("qkv", "other", False), ("qkv", "attention_biases", True)],
)  # fmt: skip
def test_a_file_does_not_say_the_order_of_rows_where_makers_differ(tmp_path, name, beside, whole):
    """InternLM2 stores ``wqkv`` head by head, and TinyViT ``qkv``, beside a table of biases of attention."""
    stored = {f"attn.{name}.weight": torch.randn(24, 8), "attn.proj.weight": torch.randn(8, 8)}
    torch.save({**stored, f"attn.{beside}": torch.randn(2, 49)}, tmp_path / "net.pt")
    network = read_network(tmp_path / "net.pt")
    parts = [f"attn.{name}"] if whole else [f"attn.{name}.{role}" for role in QKV]
    assert [layer.name for layer in network.layers] == [*parts, "attn.proj"]
    assert ("order that is not known" in network.details["inferred"][f"attn.{name}"]) == whole
