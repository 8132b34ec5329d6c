"""Which published architectures can be had without a download: of transformers, timm and torchvision.

Untrained, and made small where their configuration has the entries for it. What one of the three libraries lacks is
left out with a printed line.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

Builder = tuple[str, Callable[[], nn.Module]]

SMALL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "num_layers": 2,
    "d_model": 32, "n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 120,
    "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
    "d_ff": 48, "d_kv": 16, "num_heads": 2, "num_key_value_heads": 2, "image_size": 32, "patch_size": 8,
    "max_position_embeddings": 64, "n_positions": 64, "embedding_size": 32, "pad_token_id": 0, "dim": 32,
    "hidden_dim": 48, "n_heads": 2, "n_layers": 2, "embed_dim": 32, "head_dim": 16,
}  # fmt: skip
"""What makes any configuration small, as far as it has such an entry."""

PUBLISHED = [
    "Albert",
    "Bart",
    "Beit",
    "Bert",
    "BioGpt",
    "BigBird",
    "Blenderbot",
    "Bloom",
    "Canine",
    "CLIPVision",
    "CLIPText",
    "ConvBert",
    "ConvNext",
    "ConvNextV2",
    "CTRL",
    "Cvt",
    "Data2VecVision",
    "Deberta",
    "DebertaV2",
    "DeiT",
    "DistilBert",
    "DPT",
    "Dinov2",
    "Electra",
    "EfficientNet",
    "Ernie",
    "Falcon",
    "FNet",
    "FocalNet",
    "Funnel",
    "Gemma",
    "GPT2",
    "GPTNeo",
    "GPTNeoX",
    "GPTJ",
    "GLPN",
    "Hiera",
    "IBert",
    "ImageGPT",
    "LayoutLM",
    "LED",
    "Levit",
    "Llama",
    "Longformer",
    "M2M100",
    "Marian",
    "MBart",
    "Mistral",
    "Mixtral",
    "MobileBert",
    "MobileNetV1",
    "MobileNetV2",
    "MobileViT",
    "MobileViTV2",
    "MPNet",
    "MPT",
    "MT5",
    "Nystromformer",
    "OPT",
    "Pegasus",
    "Phi",
    "PoolFormer",
    "Pvt",
    "PvtV2",
    "Qwen2",
    "RegNet",
    "ResNet",
    "Roberta",
    "RoFormer",
    "Segformer",
    "SiglipVision",
    "Splinter",
    "SqueezeBert",
    "SwiftFormer",
    "Swin",
    "Swin2SR",
    "Swinv2",
    "T5",
    "TextNet",
    "UperNet",
    "ViT",
    "ViTMAE",
    "ViTMSN",
    "VitDet",
    "XGLM",
    "XLM",
    "XLNet",
    "Yolos",
    "YolosModel",
    "ZoeDepth",
]


HEADED = {
    "ViTForImageClassification": {},
    "DeiTForImageClassification": {},
    "BertForSequenceClassification": {},
    "BertForMaskedLM": {},
    "GPT2LMHeadModel": {},
    "LlamaForCausalLM": {"num_attention_heads": 4, "num_key_value_heads": 2},
    "MistralForCausalLM": {"num_attention_heads": 4, "num_key_value_heads": 2},
    "Phi3Model": {"num_attention_heads": 4, "num_key_value_heads": 2},
    "Qwen3Model": {"num_attention_heads": 4, "num_key_value_heads": 2},
    "GPTNeoXForCausalLM": {},
    "BloomForCausalLM": {"num_attention_heads": 4},
    "CodeGenModel": {"n_head": 4, "rotary_dim": 4},
    "ModernBertModel": {},
    "T5EncoderModel": {},
    "T5ForConditionalGeneration": {},
    "Dinov2ForImageClassification": {},
    "WhisperModel": {},
    "Wav2Vec2Model": {},
    "DetrModel": {"use_pretrained_backbone": False, "use_timm_backbone": False},
    "SegformerForSemanticSegmentation": {},
    "ResNetForImageClassification": {},
    "MambaModel": {},
    "OlmoeModel": {},
    "CLIPModel": {},
    "SamModel": {},
    "VideoMAEModel": {},
    "TimesformerModel": {},
}
"""Models of transformers with entries of their own; most have a readout, some share keys and values among heads."""

TIMM = (
    "vit_tiny_patch16_224",
    "deit_tiny_patch16_224",
    "cait_xxs24_224",
    "vit_small_patch14_reg4_dinov2",
    "eva02_tiny_patch14_224",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "pvt_v2_b0",
    "levit_128s",
    "convnext_atto",
    "convnextv2_atto",
    "edgenext_xx_small",
    "mobilevit_xxs",
    "mobilenetv3_small_050",
    "efficientnet_b0",
    "resnet10t",
    "resnet18",
    "densenet121",
    "ghostnet_050",
    "hardcorenas_a",
    "repvgg_a0",
    "nf_resnet26",
    "regnetx_002",
    "resnetv2_50x1_bit",
    "tinynet_e",
    "poolformer_s12",
    "visformer_tiny",
)
"""Names in timm."""

TORCHVISION = (
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "inception_v3",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "swin_v2_t",
    "vgg11_bn",
    "segmentation.lraspp_mobilenet_v3_large",
    "detection.ssdlite320_mobilenet_v3_large",
    "video.r3d_18",
)
"""Names in torchvision."""


def published() -> Iterator[Builder]:
    """Return what builds each published architecture."""
    _declare_operators()
    for library in (_transformers, _timm, _torchvision):
        try:
            yield from library()
        except ImportError as error:
            print(f"{library.__name__[1:]} is left out: {error}", flush=True)


def _transformers() -> Iterator[Builder]:
    import transformers

    for name in PUBLISHED:
        configuration = getattr(transformers, f"{name}Config", None)
        model = getattr(transformers, f"{name}Model", None)
        if configuration is not None and model is not None:
            yield f"transformers {name}", lambda c=configuration, m=model: m(small(c))
    for name, entries in HEADED.items():
        model = getattr(transformers, name, None)
        if model is not None:
            yield f"transformers {name}", lambda m=model, e=entries: m(small(m.config_class, **e))


def _timm() -> Iterator[Builder]:
    import timm

    for name in TIMM:
        yield f"timm {name}", lambda n=name: timm.create_model(n, num_classes=10)


def _torchvision() -> Iterator[Builder]:
    import torchvision

    plain = {"weights": None, "weights_backbone": None}
    for name in TORCHVISION:
        *folder, leaf = name.split(".")
        options = plain if folder and folder[0] in ("segmentation", "detection") else {"weights": None}
        place = getattr(torchvision.models, folder[0]) if folder else torchvision.models
        yield f"torchvision {name}", lambda p=place, n=leaf, o=options: getattr(p, n)(**o)


def _declare_operators() -> None:
    """Declare what torchvision compiles for one build of torch and registers when it loads: operators on boxes.

    Beside another build (that for CPUs) they do not load, and nothing of torchvision can be imported; no network here
    is run through them.
    """
    try:
        import torchvision  # noqa: F401
    except ImportError:
        return
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        for name in COMPILED:
            library.define(f"{name}(Tensor a) -> Tensor")
        _DECLARED.append(library)


COMPILED = (
    "qnms",
    "roi_align",
    "_roi_align_backward",
    "ps_roi_align",
    "_ps_roi_align_backward",
    "roi_pool",
    "_roi_pool_backward",
    "ps_roi_pool",
    "_ps_roi_pool_backward",
    "deform_conv2d",
    "_deform_conv2d_backward",
    "_interpolate_bilinear2d_aa",
    "_interpolate_bicubic2d_aa",
)
_DECLARED: list[torch.library.Library] = []
"""Kept, since operators go with the library that declares them."""


def small(configuration: Any, **entries: Any) -> Any:
    """Return a configuration with small entries where it has them as plain numbers, and with those that are given."""
    default = configuration().to_dict()
    chosen = {key: value for key, value in SMALL.items() if isinstance(default.get(key), int)}
    return configuration(**(chosen | entries))
