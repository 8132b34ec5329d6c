"""Judge from weights alone whether one network was made from another.

python docs/examples/lineage_of_two.py
"""

import torch

from covalign import vgg11

torch.manual_seed(0)
mine, theirs = vgg11(width=0.1), vgg11(width=0.1)
offspring = vgg11(width=0.1)  # a stand-in for a derived network: mine, and a step of all weights
offspring.load_state_dict(mine.state_dict())
with torch.no_grad():
    for weight in offspring.parameters():
        weight += 0.3 * weight.std() * torch.randn_like(weight)

# [models]
from covalign import lineage

for name, other in (("offspring", offspring), ("theirs", theirs)):
    kin = lineage({"mine": mine, name: other})
    print(f"mine and {name}: {kin.verdict} (p = {kin.p_value:.2g})")
    for sentence in kin.cannot_exclude:
        print(f"  cannot be excluded: {sentence}")
