"""What does `diff` say of a fine-tune in which we know what changed?

No rival: the answer is planted. A published CIFAR-10 ResNet-20 is fine-tuned on other images for 300 steps
with its stem and first stage frozen, twice. Measured (40 Tiny-ImageNet classes at 32x32, 38.8 % and 37.5 %
of the last training batches right, one core, 3 to 5 minutes each): the frozen layers read exactly 0; the
others change by 4.6 % to 7.4 %, the last one by 14.7 %; all neurons are rescaled by 1.2 %, which is the
weight decay; the updates have a stable rank of 3 to 7 (Gaussian ones: 15 to 37), lie 2.7 to 13 times more
than chance in what the base had learned, and agree between the two seeds with cosines from 0.74 down to
0.26 in the last layer. Planted changes of 1 %, 10 % and 3 % come out as such, and a copy with permuted
channels is refused.

    python benchmarks/study_finetune_diff.py resnet20.safetensors path/to/tiny-imagenet-40a --out finetunes
"""

import argparse
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from covalign.data.augmentation import augment
from covalign.data.images import Images
from covalign.data.loading import load_images
from covalign.data.normalization import normalization
from covalign.errors import InputError
from covalign.networks.architectures.resnet import ResNet, resnet20
from covalign.studies.difference.measure import diff
from covalign.studies.subjects import load_network

FROZEN = ("conv1", "bn1", "layer1")


def finetune(weights: Path, images: Images, steps: int, seed: int) -> tuple[ResNet, float]:
    """Train all but stem and first stage with a new readout; return the network and its last accuracy."""
    torch.manual_seed(seed)
    model = resnet20()
    load_network(weights, model)
    model.linear = nn.Linear(64, len(images.classes))
    model.train()
    for name, part in model.named_children():
        if name in FROZEN:
            part.requires_grad_(False).eval()
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learned, lr=0.02, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    correct = []
    for _ in range(steps):
        batch = images.take(torch.randint(len(images), (128,), generator=generator))
        scores = model(normalization("imagenet")(augment(batch.pixels, generator)))
        loss = nn.functional.cross_entropy(scores, batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        correct.append(float((scores.argmax(1) == batch.labels).float().mean()))
    return model.eval(), sum(correct[-20:]) / len(correct[-20:])


def permuted(model: ResNet, seed: int) -> ResNet:
    """Return the same function with the channels inside every block, and those of the stem, renamed."""
    copy = resnet20(len(model.linear.weight))
    copy.load_state_dict(model.state_dict())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for block in (*copy.layer1, *copy.layer2, *copy.layer3):
            order = torch.randperm(len(block.conv1.weight), generator=generator)
            block.conv1.weight.copy_(block.conv1.weight[order])
            for value in (block.bn1.weight, block.bn1.bias, block.bn1.running_mean, block.bn1.running_var):
                value.copy_(value[order])
            block.conv2.weight.copy_(block.conv2.weight[:, order])
    return copy.eval()


def main() -> None:
    """Fine-tune twice, then print what `diff` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("images")
    parser.add_argument("--out", type=Path, default=Path("finetunes"))
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    images = load_images(options.images, resolution=32)
    base = load_network(options.weights, resnet20(), name="base")
    tuned = []
    for seed in (0, 1):
        path = options.out / f"finetune-{seed}.safetensors"
        if not path.exists():
            start = time.monotonic()
            model, accuracy = finetune(options.weights, images, options.steps, seed)
            save_file(model.state_dict(), path)
            print(
                f"{path}: {options.steps} steps, {accuracy:.1%}, {time.monotonic() - start:.0f} s", flush=True
            )
        tuned.append(load_network(path, resnet20(len(images.classes)), name=f"seed {seed}"))

    table = diff(base, tuned[0], replicate=tuned[1]).table
    columns = ["layer", "relative_change", "relative_change_spread", "update_cosine", "rescaling", "rotation"]
    columns += ["spatial_change", "spatial_change_reference", "channel_change", "channel_change_reference"]
    columns += ["inside", "inside_reference", "learned_rank", "update_stable_rank"]
    print(table[[*columns, "update_stable_rank_reference", "reason"]].to_string(float_format="%.3f"))

    sizes = dict(zip((f"layer{i}.0.conv1" for i in (1, 2, 3)), (0.01, 0.1, 0.03), strict=True))
    planted = resnet20()
    load_network(options.weights, planted)
    with torch.no_grad():
        for name, size in sizes.items():
            weight = planted.get_submodule(name).weight
            noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
            weight += size * weight.norm() * noise / noise.norm()
    found = diff(base, planted).table.set_index("layer")["relative_change"]
    print("planted", sizes, "found", found[found > 0].round(4).to_dict())

    module = resnet20()
    load_network(options.weights, module)
    try:
        diff(base, load_network(permuted(module, 0), name="permuted"))
    except InputError as error:
        print("permuted copy refused:", error)


if __name__ == "__main__":
    main()
