"""Tables of what is a layer in a bare file and what is not, by kind."""

import pytest
import torch

from covalign.errors import InputError
from covalign.networks.readers.judging import NotALayer, companions, judge, judge_numbers
from covalign.networks.readers.opening import read_network

CONV = {"conv.weight": (8, 3, 3, 3), "conv.bias": (8,), "fc.weight": (10, 8), "fc.bias": (10,)}
"""A small network that calls its weights as PyTorch does."""


def tensors(shapes):
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def verdicts(shapes):
    """What is said of every tensor of two or more axes; None of layers."""
    made = tensors({**CONV, **shapes})
    beside = companions(made)
    found = {name: judge(name, tensor, beside) for name, tensor in made.items() if tensor.ndim > 1}
    return {name: None if verdict is None else verdict.kind for name, verdict in found.items()}


NO_LAYERS = {
    NotALayer.POSITION: {
        "pos_embed": (1, 8, 14, 14),
        "encoder.positional_embedding": (77, 64),
        "visual.positional_embedding": (50, 64),
        "embeddings.position_embeddings.weight": (512, 64),
        "transformer.wpe.weight": (1024, 64),
        "layers.0.attn.relative_position_bias_table": (169, 4),
        "attn.relative_position_index": (49, 49),
        "blocks.1.attn.rel_pos_h": (27, 64),
        "decoder_pos_embed": (1, 197, 64),
        "row_embed.weight": (50, 128),
        "attn.relative_coords_table": (1, 15, 15, 2),
        "block.0.layer.0.SelfAttention.relative_attention_bias.weight": (32, 8),
        "posEmbed": (1, 16, 8, 8),
    },
    NotALayer.TOKEN: {
        "cls_token": (1, 1, 64),
        "class_token": (1, 64),
        "mask_token": (1, 1, 64),
        "register_tokens": (1, 4, 64),
        "latents": (32, 64),
    },
    NotALayer.EMBEDDING: {
        "emb.weight": (100, 8),
        "query_embed.weight": (100, 64),
        "model.embed_tokens.weight": (1000, 64),
        "transformer.wte.weight": (500, 64),
        "bert.embeddings.word_embeddings.weight": (300, 64),
        "emb.0.weight": (100, 8),
        "codebook": (256, 16),
        "quantize.embedding.weight": (256, 16),
    },
    NotALayer.FILTER: {
        "blur.filt": (8, 1, 3, 3),
        "resample_filter": (4, 4),
        "synthesis.b32.conv0.resample_filter": (4, 4),
        "sobel": (2, 1, 3, 3),
        "down.blur_kernel": (8, 1, 4, 4),
        "stft.forward_basis_window": (258, 1, 256),
        "mel_scale.fb": (201, 80),
        "laplacian.weight": (3, 1, 5, 5),
        "dct.kernel": (64, 1, 8, 8),
    },
    NotALayer.OPTIMIZER: {
        "exp_avg.conv.weight": (8, 3, 3, 3),
        "exp_avg_sq.conv.weight": (8, 3, 3, 3),
        "conv.weight_momentum_buffer": (8, 3, 3, 3),
        "optimizer.state.conv.weight": (8, 3, 3, 3),
        "conv.Adam": (8, 3, 3, 3),
    },
    NotALayer.STATISTIC: {
        "mean": (1, 3, 1, 1),
        "std": (1, 3, 1, 1),
        "pixel_mean": (3, 1, 1),
        "normalizer.running_mean": (1, 8, 1, 1),
        "image_std": (1, 3, 1, 1),
    },
    NotALayer.RECURRENT: {
        "lstm.weight_ih_l0": (64, 8),
        "lstm.weight_hh_l0": (64, 16),
        "lstm.weight_hh_l0_reverse": (64, 16),
        "cell.weight_ih": (32, 8),
        "cell.weight_hh": (32, 8),
        "gru.W": (48, 8),
        "gru.U": (48, 16),
        "rnn.weight_hr_l0": (4, 16),
    },
    NotALayer.SCALE: {
        "conv.weight_scale": (8, 1),
        "fc.scales": (4, 10),
        "fc.zero_points": (4, 10),
        "fc.weight_scale_inv": (2, 2),
        "fc.absmax": (5, 2),
    },
    NotALayer.BIAS: {
        "stage.attention_biases": (4, 196),
        "attn.bias": (1, 1, 16, 16),
        "to_rgb.bias": (1, 3, 1, 1),
        "act.bias": (1, 8, 1, 1),
    },
    NotALayer.GAIN: {"block.gamma": (8, 1, 1), "grn.beta": (1, 1, 1, 8), "attn.temperature": (4, 1, 1)},
    NotALayer.ADAPTER: {
        "conv.lora_A.weight": (4, 3, 3, 3),
        "lora_unet_mid_to_q.lora_up.weight": (64, 4),
        "fc.hada_w1_a": (10, 2),
        "fc.lokr_w2": (5, 4),
        "fc.lora_magnitude_vector": (1, 10),
        "processor.to_q_lora.down.weight": (4, 64),
    },
    NotALayer.MASK: {"conv.grad_mask": (8, 3, 3, 3), "attn_mask": (4, 49, 49), "head.masks": (2, 10, 8)},
    NotALayer.LINE: {"wave.weight": (64, 40, 3), "deep.0.conv.weight": (8, 1, 31)},
    NotALayer.SOLID: {"video.weight": (8, 3, 3, 3, 3)},
    NotALayer.CONSTANT: {"noise_const": (16, 16), "input.const": (64, 4, 4)},
    NotALayer.OWN_NAME: {"text_projection": (64, 64), "mixing": (8, 8), "planes": (3, 16, 32, 32)},
    NotALayer.BESIDE: {"fc.weight_integer": (10, 8), "conv.weight_backup": (8, 3, 3, 3)},
    NotALayer.COMPUTED: {"old.weight_v": (4, 8, 1, 1), "new.parametrizations.weight.original1": (4, 8)},
}


@pytest.mark.parametrize(
    ("kind", "name", "shape"),
    [(kind, name, shape) for kind, cases in NO_LAYERS.items() for name, shape in cases.items()],
    ids=lambda value: value.name if isinstance(value, NotALayer) else None,
)
def test_what_is_no_layer_is_known_for_what_it_is(kind, name, shape):
    found = verdicts({name: shape})
    assert found[name] == kind
    assert [other for other, verdict in found.items() if verdict is None] == ["conv.weight", "fc.weight"]


LAYERS = {
    "patch_embed.proj.weight": (64, 3, 16, 16),
    "vision_model.embeddings.patch_embedding.weight": (64, 3, 16, 16),
    "roi_heads.mask_predictor.conv5_mask.weight": (16, 16, 2, 2),
    "sam.mask_decoder.hyper.weight": (8, 64),
    "embedding_projection.weight": (64, 32),
    "moe.gate.weight": (8, 64),
    "mlp.gate_proj.weight": (128, 64),
    "attn.in_proj_weight": (192, 64),
    "lm_head.weight": (5000, 64),
    "classifier.weight": (5000, 64),
    "blur.conv.weight": (8, 8, 3, 3),
    "filter_net.weight": (8, 8, 3, 3),
    "psi.weight": (1, 16, 1, 1),
    "last.weight": (1, 64, 4, 4),
    "dcn.offset_weight": (18, 8, 3, 3),
    "pos_block.proj.weight": (64, 1, 3, 3),
    "mean_head.weight": (8, 64),
    "scale.weight": (8, 64),
}


@pytest.mark.parametrize(("name", "shape"), LAYERS.items())
def test_words_alone_do_not_make_a_layer_into_something_else(name, shape):
    assert verdicts({name: shape})[name] is None


@pytest.mark.parametrize("name", ["time_embed.0", "label_emb.1", "gaussian", "position", "tokens"])
def test_a_bias_of_matching_length_makes_a_weight_of_anything(name):
    assert verdicts({f"{name}.weight": (64, 32), f"{name}.bias": (64,)})[f"{name}.weight"] is None


def test_a_parameter_with_its_own_bias_is_a_weight():
    assert verdicts({"head.W1": (16, 8), "head.b1": (16,)})["head.W1"] is None


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 1, 1), (8, 1, 1), (8, 16, 16)])
def test_a_bias_of_the_same_shape_makes_an_elementwise_gain(shape):
    assert verdicts({"norm.weight": shape, "norm.bias": shape})["norm.weight"] == NotALayer.ELEMENTWISE


def test_many_rows_without_a_bias_are_a_doubt_where_others_have_one():
    assert verdicts({"table.weight": (5000, 16)})["table.weight"] == NotALayer.MAYBE_EMBEDDING


def test_names_that_say_nothing_are_layers_where_no_convention_is():
    made = tensors({"a": (8, 3, 3, 3), "b": (4, 8)})
    assert all(judge(name, tensor, companions(made)) is None for name, tensor in made.items())


@pytest.mark.parametrize(
    ("weight", "kind"),
    [
        (torch.ones(8, 1, 4, 4), NotALayer.EQUAL_ROWS),
        (torch.tensor([1.0, 2, 1]).outer(torch.tensor([1.0, 2, 1])).expand(6, 1, 3, 3), NotALayer.EQUAL_ROWS),
        ((torch.rand(8, 3, 3, 3) > 0.5).float(), NotALayer.MASK),
        (torch.eye(3)[:, :, None, None], NotALayer.MASK),
        (torch.eye(5)[:, :, None, None] * torch.rand(4, 4), NotALayer.RESAMPLING),
        (torch.eye(5)[:, :, None, None] * torch.rand(5, 1, 4, 4), None),
        (
            torch.eye(5)[:, :, None, None] * torch.ones(3, 3) + torch.eye(5).roll(2, 0)[:, :, None, None] * 2,
            None,
        ),
        (torch.zeros(8, 3, 3, 3), None),
        (torch.ones(2, 2), None),
        (torch.randn(8, 1, 3, 3), None),
    ],
    ids=[
        "constant",
        "binomial",
        "mask",
        "identity",
        "bilinear",
        "depthwise",
        "crossed",
        "zeros",
        "linear",
        "learned",
    ],
)
def test_numbers_show_what_was_not_learned(weight, kind):
    verdict = judge_numbers(weight)
    assert (verdict and verdict.kind) == kind


@pytest.mark.parametrize("name", ["pos_embed", "emb", "wave", "sobel"])
def test_a_person_can_insist(tmp_path, name):
    shapes = {
        "pos_embed": (1, 8, 14, 14),
        "emb.weight": (50, 8),
        "wave.weight": (8, 4, 3),
        "sobel": (2, 1, 3, 3),
    }
    torch.save(tensors({**CONV, **shapes}), tmp_path / "net.pt")
    assert name not in [layer.name for layer in read_network(tmp_path / "net.pt").layers]
    network = read_network(tmp_path / "net.pt", insist=[name])
    assert len(network.layers) == 3
    assert network.layer(name).weight.ndim == 4


def test_nobody_can_insist_on_what_cannot_be_read(tmp_path):
    torch.save({**tensors(CONV), "q.weight": torch.ones(4, 4, dtype=torch.int8)}, tmp_path / "net.pt")
    assert len(read_network(tmp_path / "net.pt", insist=["q"]).layers) == 2
    torch.save(tensors({**CONV, "cube.weight": (2, 3, 3, 3, 3)}), tmp_path / "net.pt")
    with pytest.raises(InputError, match=r"'cube.weight' has 5 axes, expected at most 4"):
        read_network(tmp_path / "net.pt", insist=["cube"])
