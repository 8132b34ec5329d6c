"""Predict the energy profile of a first layer from images alone, and hold a network's filters against it.

python docs/examples/predict_a_first_layer.py
"""

from covalign import load_images, vgg11

images = load_images("photos:a", max_images=500)
network = vgg11(width=0.25)  # a stand-in for a trained network of yours
filters = next(weight for weight in network.parameters() if weight.ndim == 4)

# [patches]
from covalign import energy_profile, fit_energy, patch_covariance, predicted_energy
from covalign.data.normalization import normalization

# The patches have to be what the network sees: its own normalization belongs here.
patches = patch_covariance(images, filters.shape[-1], normalization=normalization("imagenet"))
measured = energy_profile(filters, patches)  # where you have the initial weights, pass init=...
fit = fit_energy(measured, patches, draws=50)
print(f"the formula fits at r = {fit.correlation:.2f}, random filters at {fit.baseline.mean:.2f}")

predicted = predicted_energy(patches, fit.tau)
for i in range(5):
    deviation, energy = patches.standard_deviations[i], predicted.energy[i]
    print(f"component {i + 1}: deviation {deviation:.3g}, predicted energy {energy:.3g}")
