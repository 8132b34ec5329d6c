"""Measure what a training changed, and stop a pipeline where it changed too much.

python docs/examples/check_a_fine_tune.py
"""

import torch

from covalign import vgg11

torch.manual_seed(0)
base = vgg11(width=0.05)
finetuned = vgg11(width=0.05)  # a stand-in for a fine-tune: the base, and a small step of all weights
with torch.no_grad():
    for before, after in zip(base.state_dict().values(), finetuned.state_dict().values(), strict=True):
        noise = torch.randn_like(before, dtype=torch.float32) * before.float().abs().mean()
        after.copy_(before if not before.is_floating_point() else before + 0.05 * noise)

# [models]
from covalign import diff

LIMIT = 0.2

change = diff(base, finetuned)
print(change.table[["layer", "relative_change", "rescaling", "rotation"]].round(3))
print(f"largest relative change of a layer: {change.largest_change:.3f}")
if change.largest_change > LIMIT:
    raise SystemExit(f"a layer changed by more than {LIMIT}")
