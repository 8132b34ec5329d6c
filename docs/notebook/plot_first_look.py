"""
A first look at two networks
============================

Two small networks are trained on the same photographs, from other initial weights and with another order of images.
Did they learn the same thing? Nothing is downloaded. The trainings are shorter than those of the
:doc:`tutorial </tutorial>`, about a minute of one core in all, and the numbers are those of short trainings.
"""

# %%
# Train
# -----
# ``photos:a`` are five photographs that come with the package; the task is which of them a crop is from. A recipe
# is a record, and ``replace`` changes it. Runs are kept in a store, under the hash of everything that decides their
# weights.
from dataclasses import replace
from tempfile import mkdtemp

from covalign import RunStore, compare, load_images, load_network, preset, train, vgg11

store = RunStore(mkdtemp())
recipe = replace(preset("demo"), images="photos:a", epochs=3, max_images=2400)
runs = {f"seed {seed}": train(replace(recipe, seed=seed), store, progress=False) for seed in (0, 1)}
{name: run.history[-1].test_accuracy for name, run in runs.items()}

# %%
# Compare
# -------
# Both networks look at the same crops. At every layer a rotation is fitted that carries what the one receives onto
# what the other receives; then the learned weights are compared in common coordinates. A result shows itself: its
# answers, a figure, and the head of its table.
images = load_images("photos:a", max_images=300)
comparison = compare(runs, images, calibrate=False)
comparison

# %%
# Read
# ----
# ``debiased`` is R: of what different neurons of a layer have in common, how much is common to both networks. 0 is
# what unrelated networks share, 1 the same learned weights. ``debiased_shuffled`` is the control to look at: the same
# weights, with an alignment fitted to pairs of *different* images.
columns = ["depth", "debiased", "debiased_low", "debiased_high", "debiased_z", "debiased_shuffled"]
comparison.table[columns].round(2)

# %%
# Draw
# ----
# The table is a pandas data frame, and what it holds is drawn with whatever you like.
import matplotlib.pyplot as plt

rows = comparison.table.dropna(subset="debiased")
figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
axes.fill_between(
    rows["depth"], rows["debiased_low"].clip(-0.5), rows["debiased_high"].clip(upper=1.5), alpha=0.2
)
axes.plot(rows["depth"], rows["debiased"], "o-", label="both look at the same images")
axes.plot(rows["depth"], rows["debiased_shuffled"], "o--", color="gray", label="aligned on shuffled images")
axes.set(xlabel="layer", ylabel="R, 95 % interval", ylim=(-0.5, 1.5))
axes.legend()

# %%
# Beside a network that learned nothing
# -------------------------------------
# A number that is high for anything says nothing. So the same is asked of a network with its initial weights.
untrained = load_network(vgg11(width=0.125, form="factorized", classes=5), normalization="none")
beside = compare({"trained": runs["seed 0"], "untrained": untrained}, images, calibrate=False)
beside.table[["depth", "debiased", "debiased_low", "debiased_high", "debiased_reason"]].round(2)
