"""Small transformers whose function is known to survive certain changes of their weights."""

import copy
import math

import torch
from torch import nn

WIDTH, HEADS, HIDDEN, SIDE, PATCH = 16, 4, 32, 16, 4


class Block(nn.Module):
    """Attention with one product of queries, keys and values, and a hidden layer, each behind a norm."""

    def __init__(self, norm: type[nn.Module]) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(WIDTH), norm(WIDTH)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(WIDTH, 3 * WIDTH), "proj": nn.Linear(WIDTH, WIDTH)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(WIDTH, HIDDEN), "fc2": nn.Linear(HIDDEN, WIDTH)})

    def heads(self, x):
        """Values of all heads side by side."""
        n, tokens, width = x.shape
        q, k, v = self.attn["qkv"](x).reshape(n, tokens, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        return nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, width)

    def forward(self, x):
        x = x + self.attn["proj"](self.heads(self.norm1(x)))
        return x + self.mlp["fc2"](nn.functional.gelu(self.mlp["fc1"](self.norm2(x))))


class Transformer(nn.Module):
    """A vision transformer with a class token."""

    def __init__(self, norm: type[nn.Module] = nn.LayerNorm, depth: int = 2, side: int = SIDE) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, WIDTH, PATCH, stride=PATCH)
        self.cls_token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + (side // PATCH) ** 2, WIDTH) / 2)
        self.blocks = nn.Sequential(*(Block(norm) for _ in range(depth)))
        self.norm, self.head = norm(WIDTH), nn.Linear(WIDTH, 5)

    def forward(self, images):
        patches = self.patch_embed(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(images), -1, -1), patches], 1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


def learned(norm: type[nn.Module] = nn.LayerNorm, seed: int = 0, **options) -> Transformer:
    """A transformer in double precision whose neurons have directions in common, and whose norms have gains."""
    torch.manual_seed(seed)
    model = Transformer(norm, **options).double().eval()
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, nn.Linear | nn.Conv2d):
                rows = part.weight.flatten(1)
                spread = torch.exp(torch.randn(rows.shape[1], dtype=torch.float64))
                turn = torch.linalg.qr(torch.randn(rows.shape[1], rows.shape[1], dtype=torch.float64))[0]
                rows.copy_(torch.randn_like(rows) * spread @ turn / spread.norm())
                part.bias.normal_(std=0.1)
            elif isinstance(part, nn.LayerNorm | nn.RMSNorm):
                part.weight.uniform_(0.5, 2)
                if isinstance(part, nn.LayerNorm):
                    part.bias.normal_(std=0.2)
    return model


def gains_moved(model: Transformer) -> Transformer:
    """Multiply the gains of all norms into what reads them, shifts into biases."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for block in model.blocks:
            for norm, reader in ((block.norm1, block.attn["qkv"]), (block.norm2, block.mlp["fc1"])):
                if norm.bias is not None if hasattr(norm, "bias") else False:
                    reader.bias += reader.weight @ norm.bias
                    norm.bias.zero_()
                reader.weight *= norm.weight
                norm.weight.fill_(1)
        reader, norm = model.head, model.norm
        if getattr(norm, "bias", None) is not None:
            reader.bias += reader.weight @ norm.bias
            norm.bias.zero_()
        reader.weight *= norm.weight
        norm.weight.fill_(1)
    return model


def stream_rotated(model: Transformer, seed: int = 1) -> Transformer:
    """Rotate the residual stream of a network whose norms have no gains; LayerNorm keeps the ones vector."""
    model = gains_moved(model)
    random = torch.randn(WIDTH, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    if isinstance(model.norm, nn.LayerNorm):
        ones = torch.full((WIDTH, 1), 1 / math.sqrt(WIDTH), dtype=torch.float64)
        basis = torch.linalg.qr(torch.cat([ones, random[:, 1:]], 1))[0]
        inner = torch.linalg.qr(random[1:, 1:])[0]
        turn = basis @ torch.block_diag(torch.ones(1, 1).double(), inner) @ basis.T
    else:
        turn = torch.linalg.qr(random)[0]
    with torch.no_grad():
        for token in (model.cls_token, model.pos_embed):
            token.copy_(token @ turn.T)
        writers = [model.patch_embed, *(w for b in model.blocks for w in (b.attn["proj"], b.mlp["fc2"]))]
        for writer in writers:
            writer.weight.copy_((turn @ writer.weight.flatten(1)).view_as(writer.weight))
            writer.bias.copy_(turn @ writer.bias)
        for reader in [model.head, *(r for b in model.blocks for r in (b.attn["qkv"], b.mlp["fc1"]))]:
            reader.weight.copy_(reader.weight @ turn.T)
    return model


def heads_permuted(model: Transformer) -> Transformer:
    """Hand every head the place of the next."""
    model = copy.deepcopy(model)
    size = WIDTH // HEADS
    order = torch.arange(WIDTH).roll(size)
    with torch.no_grad():
        for block in model.blocks:
            qkv, proj = block.attn["qkv"], block.attn["proj"]
            rows = torch.cat([order + part * WIDTH for part in range(3)])
            qkv.weight.copy_(qkv.weight[rows])
            qkv.bias.copy_(qkv.bias[rows])
            proj.weight.copy_(proj.weight[:, order])
    return model


def queries_scaled(model: Transformer, by: float = 3.0) -> Transformer:
    """Multiply queries and divide keys by one number."""
    model = copy.deepcopy(model)
    factors = torch.tensor([by, 1 / by, 1.0], dtype=torch.float64).repeat_interleave(WIDTH)
    with torch.no_grad():
        for block in model.blocks:
            block.attn["qkv"].weight.mul_(factors[:, None])
            block.attn["qkv"].bias.mul_(factors)
    return model


def heads_rotated(model: Transformer) -> Transformer:
    """Rotate queries with keys, and values with what reads them, within every head."""
    model = copy.deepcopy(model)
    size = WIDTH // HEADS
    generator = torch.Generator().manual_seed(5)

    def turn():
        turns = torch.randn(HEADS, size, size, dtype=torch.float64, generator=generator)
        return torch.block_diag(*torch.linalg.qr(turns)[0])

    with torch.no_grad():
        for block in model.blocks:
            qkv, proj = block.attn["qkv"], block.attn["proj"]
            both, values = turn(), turn()
            all_three = torch.block_diag(both, both, values)
            qkv.weight.copy_(all_three @ qkv.weight)
            qkv.bias.copy_(all_three @ qkv.bias)
            proj.weight.copy_(proj.weight @ values.T)
    return model


def hidden_permuted(model: Transformer) -> Transformer:
    """Reverse the order of hidden neurons."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for block in model.blocks:
            fc1, fc2 = block.mlp["fc1"], block.mlp["fc2"]
            fc1.weight.copy_(fc1.weight.flip(0))
            fc1.bias.copy_(fc1.bias.flip(0))
            fc2.weight.copy_(fc2.weight.flip(1))
    return model


SAME_FUNCTION = {
    "equal": copy.deepcopy,
    "gains moved": gains_moved,
    "stream rotated": stream_rotated,
    "heads permuted": heads_permuted,
    "queries scaled": queries_scaled,
    "heads rotated": heads_rotated,
    "hidden permuted": hidden_permuted,
}
"""Changes of weights that no output shows."""
