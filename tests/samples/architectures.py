"""Networks whose blocks are known: residual ones of any depth, width and names, and plain ones with pooling."""

from itertools import pairwise

import torch
from torch import Tensor, nn

Truth = dict[str, tuple[int, int, str]]
"""By layer: stage, place of its block within the stage, role within the block; the stem is stage 0."""


class Block(nn.Module):
    """Two 3x3 convolutions (or 1x1, 3x3, 1x1) beside a shortcut, under given names."""

    def __init__(
        self, c_in: int, c_out: int, stride: int, roles: tuple[str, ...], shortcut: str, project: bool
    ) -> None:
        super().__init__()
        self.roles, self.shortcut = roles, shortcut
        kernels = (3, 3) if len(roles) == 2 else (1, 3, 1)
        widths = (c_in, c_out, c_out) if len(roles) == 2 else (c_in, c_out // 4, c_out // 4, c_out)
        strided = kernels.index(3)
        for place, (role, kernel) in enumerate(zip(roles, kernels, strict=True)):
            step = stride if place == strided else 1
            self.add_module(
                role, nn.Conv2d(*widths[place : place + 2], kernel, step, kernel // 2, bias=False)
            )
            self.add_module(f"{role}_norm", nn.BatchNorm2d(widths[place + 1]))
        self.stride = stride
        self.grown = c_out - c_in
        if project and (stride > 1 or self.grown):
            self.add_module(shortcut, nn.Conv2d(c_in, c_out, 1, stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for place, role in enumerate(self.roles):
            y = getattr(self, f"{role}_norm")(getattr(self, role)(y))
            y = torch.relu(y) if place + 1 < len(self.roles) else y
        if hasattr(self, self.shortcut):
            x = getattr(self, self.shortcut)(x)
        elif self.stride > 1 or self.grown:
            x = nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.grown))
        return torch.relu(x + y)


class Residual(nn.Module):
    """A residual network; the first block of every stage but the first halves the maps."""

    def __init__(
        self,
        depths: tuple[int, ...],
        widths: tuple[int, ...],
        *,
        roles: tuple[str, ...] = ("conv1", "conv2"),
        stage: str = "layer{}",
        shortcut: str = "downsample",
        project: bool = True,
        imagenet: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)
        stem = widths[0]
        self.stem = nn.Conv2d(3, stem, 7 if imagenet else 3, 2 if imagenet else 1, 3 if imagenet else 1)
        self.pool = nn.MaxPool2d(3, 2, 1) if imagenet else nn.Identity()
        self.stages, self.truth = [], {"stem": (0, 0, "stem")}
        for index, (depth, (c_in, c_out)) in enumerate(
            zip(depths, pairwise((stem, *widths)), strict=True), 1
        ):
            parts = [
                Block(
                    c_in if place == 0 else c_out,
                    c_out,
                    2 if index > 1 and place == 0 else 1,
                    roles,
                    shortcut,
                    project,
                )
                for place in range(depth)
            ]
            name = stage.format(index)
            self.add_module(name, nn.Sequential(*parts))
            self.stages.append(name)
            for place, part in enumerate(parts):
                named = zip(
                    (*roles, shortcut), (*("one", "two", "three")[: len(roles)], "short"), strict=True
                )
                self.truth |= {
                    f"{name}.{place}.{each}": (index, place, role)
                    for each, role in named
                    if hasattr(part, each)
                }
        self.depths = depths
        self.fc = nn.Linear(widths[-1], 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.stem(x)))
        for stage in self.stages:
            x = getattr(self, stage)(x)
        return self.fc(x.mean((2, 3)))


def plain(plan: tuple[tuple[int, ...], ...], seed: int = 0) -> tuple[nn.Sequential, Truth]:
    """A VGG: convolutions of each stage's widths, then pooling; its layers are numbered."""
    torch.manual_seed(seed)
    parts: list[nn.Module] = []
    truth: Truth = {}
    c_in = 3
    for stage, widths in enumerate(plan):
        for place, width in enumerate(widths):
            truth[str(len(parts))] = (stage, place, "convolution")
            parts += [nn.Conv2d(c_in, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            c_in = width
        parts.append(nn.MaxPool2d(2))
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c_in, 10)), truth
