import math
from dataclasses import replace

import pandas as pd
import pytest
import torch

import covalign.papers.first_layer.amplified as first_layer_amplified
import covalign.papers.first_layer.population as first_layer
from covalign.data.images import Images
from covalign.data.normalization import normalization
from covalign.first_layer.energy import EnergyProfile
from covalign.first_layer.labelings import amplified_covariance
from covalign.first_layer.patches import patch_covariance
from covalign.first_layer.prediction import predicted_energy
from covalign.papers.catalogue import NAMES, exhibit
from covalign.papers.exhibit import Measurements
from covalign.papers.first_layer import fig1, fig3, fig7, fig8, table1, table2, table3
from covalign.papers.first_layer.panels import forest
from covalign.papers.first_layer.population import FirstLayer
from covalign.papers.first_layer.transformations import (
    PLACE,
    READING,
    amplification,
    amplified,
    energy_deciles,
    first_patches,
)
from covalign.papers.label import Label
from covalign.papers.reproduction import packed, unpacked
from covalign.papers.scales.laptop import LAPTOP
from covalign.papers.scales.named import SCALES
from covalign.papers.scales.smoke import SMOKE

FIRST_LAYERS = [name for name in NAMES if name.startswith("first-layer")]
SCALED_TIME = 60.0


def pictures(count: int, seed: int = 0) -> Images:
    """Return noise that is smooth in space and alike in its channels, as photographs are."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 3, 12, 12, generator=generator) + torch.randn(
        count, 1, 12, 12, generator=generator
    )
    smooth = noise.cumsum(2).cumsum(3)
    smooth = smooth - smooth.mean((1, 2, 3), keepdim=True)
    pixels = (128 + 90 * smooth / smooth.abs().amax((1, 2, 3), keepdim=True)).round().to(torch.uint8)
    return Images(pixels, torch.arange(count) % 10, tuple("abcdefghij"), "noise", "train")


@pytest.fixture(scope="module")
def patches():
    return first_patches(pictures(60))


@pytest.fixture(scope="module")
def population(patches):
    """Return, like the paper's, networks that learned what the formula says, on every data set of the laptop."""
    needed = {}
    for name in ("table1", "table2", "table3"):
        needed |= exhibit(f"first-layer-{name}").trainings(LAPTOP)
    generator = torch.Generator().manual_seed(1)

    def profile(energy: torch.Tensor) -> EnergyProfile:
        scatter = 1 + 0.02 * torch.randn(len(energy), generator=generator, dtype=torch.float64)
        return EnergyProfile(energy * scatter, filters=32)

    found = []
    for label, training in needed.items():
        time = SCALED_TIME * (0.7 if label.kind == first_layer.RANDOM else 1)
        tau = time / float(patches.standard_deviations[0]) ** 2
        learned = predicted_energy(patches, tau).energy
        for epoch in (*training.spec.checkpoint_epochs, training.spec.epochs):
            flat = torch.ones(27, dtype=torch.float64)
            last = epoch == training.spec.epochs
            found.append(FirstLayer(label, training.data, epoch, last, profile(learned), profile(flat)))
    return found


def networks(layers, accuracy=0.97) -> pd.DataFrame:
    labels = dict.fromkeys(layer.label for layer in layers)
    return pd.DataFrame([{**label.columns, "train_accuracy": accuracy} for label in labels])


def compared(layers):
    """Return the layers of the data sets that have several networks."""
    return [layer for layer in layers if layer.kind != first_layer.BINARY]


def agreeing(layers, accuracy=0.97) -> Measurements:
    values = first_layer.agreements(compared(layers), first_layer.PAIRS)
    summary = first_layer.summarized(values)
    return Measurements({"values": values, "summary": summary, "networks": networks(layers, accuracy)})


def fitting(layers, patches, **columns) -> Measurements:
    every = dict.fromkeys((layer.data for layer in layers), patches)
    fits = first_layer.fits([layer for layer in layers if layer.last], every, draws=20).assign(**columns)
    return Measurements({"fits": fits, "summary": first_layer.summarized(fits), "networks": networks(layers)})


def drawn(layers, patches) -> Measurements:
    layers = compared(layers)
    every = dict.fromkeys((layer.data for layer in layers), patches)
    fits = first_layer.fits([layer for layer in layers if layer.last], every, draws=1)
    curves = first_layer.curves(layers, every)
    table = curves.assign(predicted=curves["energy"])
    return Measurements({"curves": table, "fits": fits, "networks": networks(layers)})


def changed(layers, kind, energy):
    """Return the layers, those of one kind having learned something else."""
    return [
        replace(layer, learned=EnergyProfile(energy(layer), layer.learned.filters))
        if layer.kind == kind
        else layer
        for layer in layers
    ]


def reversed_energy(layer):
    return layer.learned.energy.flip(0)


def initial_energy(layer):
    return layer.initial.energy


def verdicts(claims) -> dict[str, str]:
    return {claim.sentence: claim.verdict for claim in claims}


def failing(claims) -> list[str]:
    return [claim.sentence for claim in claims if claim.verdict == "does not hold"]


@pytest.mark.parametrize("size", SCALES.values(), ids=lambda size: size.name)
def test_no_two_networks_of_the_first_layer_begin_alike(size):
    specs = {each.spec for name in FIRST_LAYERS for each in exhibit(name).trainings(size).values()}
    seeds = {}
    for name in FIRST_LAYERS:
        for label, training in exhibit(name).trainings(size).items():
            seeds.setdefault((training.data, training.spec), set()).add(training.spec.seed)
            assert training.data in size.data, label
    every = [seed for found in seeds.values() for seed in found]
    assert len(every) == len(set(every)) >= len(specs)


def test_random_label_networks_differ_from_true_ones_in_labels_and_seed_alone():
    for size in SCALES.values():
        true = next(iter(first_layer.true_trainings(size).values())).spec
        for training in first_layer.random_trainings(size).values():
            assert replace(training.spec, labels="true", seed=true.seed, label_realization=0) == true


def test_a_label_tells_the_kind():
    assert [label.kind for label in exhibit("first-layer-table1").trainings(SMOKE)] == [
        *[first_layer.TRUE] * 4,
        first_layer.NARROW,
        first_layer.RESIDUAL,
    ]


def test_agreements_pair_networks_of_one_data_set_and_epoch(population):
    values = agreeing(population).tables["values"]
    of_labels = values[values["quantity"] == first_layer.LABELS]
    assert (of_labels["a"].str.split(",").str[0] == of_labels["b"].str.split(",").str[0]).all()
    last = of_labels[of_labels["last"]]
    assert last["data"].value_counts().to_dict() == {"cifar10": 9, "imagenet-a": 4}
    assert values["limit"].notna().equals(values["quantity"].isin(first_layer.PAIRS.values()))


def test_intervals_count_networks_and_end_at_one():
    rows = [
        {"data": "d", "quantity": "q", "a": a, "b": b, "epoch": 1, "last": True, "value": value, "limit": 1.0}
        for a, b, value in (("x", "u", 0.9), ("x", "v", 0.99), ("y", "u", 0.8), ("y", "v", 0.99))
    ]
    (found,) = first_layer.summarized(pd.DataFrame(rows)).itertuples()
    assert found.mean == pytest.approx(0.92)
    assert found.low >= -1
    assert found.high == 1
    single = first_layer.summarized(pd.DataFrame(rows[:1])).iloc[0]
    assert first_layer.interval(single) is None
    assert first_layer.averaged(single) == "a single value"


def test_tables_hold_for_a_population_like_the_papers(population, patches):
    found = agreeing(population)
    one = table1.claims(found)
    two = table2.claims(found)
    three = table3.claims(fitting(population, patches))
    assert failing([*one, *two, *three]) == []
    assert len(one) == 6
    assert len(two) == 4
    assert len(three) == 4
    assert {claim.verdict for claim in [*one, *two, *three]} == {"holds"}


def test_labels_that_change_the_profile_are_seen(population):
    measured = agreeing(changed(population, first_layer.RANDOM, reversed_energy))
    sentences = failing(table2.claims(measured))
    assert len(sentences) == 2
    assert all("same energy profile" in sentence for sentence in sentences)


def test_a_network_that_learned_its_initial_profile_is_seen(population):
    measured = agreeing(changed(population, first_layer.RANDOM, initial_energy))
    assert sum("not its initial profile" in each for each in failing(table2.claims(measured))) == 2
    measured = agreeing(changed(population, first_layer.TRUE, initial_energy))
    assert sum("not the initial profile" in each for each in failing(table1.claims(measured))) == 2


def test_random_labels_that_are_not_learned_decide_nothing(population):
    found = verdicts(table2.claims(agreeing(population, accuracy=0.5)))
    assert [found[sentence] for sentence in found if "same energy profile" in sentence] == [
        "not testable"
    ] * 2


@pytest.mark.parametrize(
    ("kind", "word"), [(first_layer.NARROW, "half the width"), (first_layer.RESIDUAL, "residual")]
)
def test_another_width_or_architecture_that_differs_is_seen(population, kind, word):
    (sentence,) = failing(table1.claims(agreeing(changed(population, kind, reversed_energy))))
    assert word in sentence


@pytest.mark.slow
def test_profiles_that_the_formula_does_not_fit_are_seen(population, patches):
    jagged = torch.arange(27, dtype=torch.float64) % 2 + 0.1
    true = fitting(changed(population, first_layer.TRUE, lambda layer: jagged), patches)
    assert len(failing(table3.claims(true))) == 3
    binary = fitting(changed(population, first_layer.BINARY, lambda layer: jagged), patches)
    assert any("two classes" in each for each in failing(table3.claims(binary)))


def test_a_fit_no_better_than_chance_is_seen(population, patches):
    measured = fitting(population, patches, baseline_95=0.999999)
    assert failing(table3.claims(measured)) == ["The fit is far better than that to random filters."]


def test_curves_of_a_population_like_the_papers_satisfy_the_figures(population, patches):
    measured = drawn(population, patches)
    one = fig1.claims(measured)
    assert verdicts(one)["Before training the profile is flat."] == "holds"
    three = verdicts(fig3.claims(measured))
    assert three["Random labels look like an earlier time of the formula."] == "holds"
    assert three["Profiles of true and of random labels have the same shape (cifar10)."] == "holds"
    assert failing(fig7.claims(measured)) == []


@pytest.mark.slow
def test_ends_of_a_profile_decide_whether_it_peaks_between(population, patches):
    places = torch.arange(27, dtype=torch.float64)
    peaked = changed(population, first_layer.TRUE, lambda layer: torch.exp(-((places - 8) ** 2) / 20))
    assert failing(fig1.claims(drawn(peaked, patches))) == []
    falling = changed(population, first_layer.TRUE, lambda layer: torch.exp(-places / 5))
    assert len(failing(fig1.claims(drawn(falling, patches)))) == 2
    rising = changed(population, first_layer.TRUE, lambda layer: torch.exp(places / 5))
    assert len(failing(fig1.claims(drawn(rising, patches)))) == 2


def test_initial_weights_with_structure_are_not_flat(population, patches):
    structured = [replace(layer, initial=layer.learned) for layer in population]
    assert "Before training the profile is flat." in failing(fig1.claims(drawn(structured, patches)))


def test_published_curves_agree_with_themselves_and_not_with_their_mirror_image(population, patches):
    read = torch.tensor(fig3.READ[first_layer.TRUE], dtype=torch.float64).nan_to_num(0.05)
    like = fig3.claims(drawn(changed(population, first_layer.TRUE, lambda layer: read), patches))
    unlike = fig3.claims(drawn(changed(population, first_layer.TRUE, lambda layer: read.flip(0)), patches))
    sentence = "Our profile is the one that the paper shows (cifar10, true labels)."
    assert verdicts(like)[sentence] == "holds"
    assert verdicts(unlike)[sentence] == "does not hold"


def test_maxima_far_apart_are_seen(population, patches):
    measured = drawn(population, patches)
    table = measured.tables["curves"]
    shifted = table.assign(
        predicted=table.groupby("network")["energy"].transform(lambda e: e.to_numpy()[::-1])
    )
    moved = replace(measured, tables={**measured.tables, "curves": shifted})
    assert "Both curves have their maximum at about the same component." in failing(fig7.claims(moved))


def deciles(population, patches, energy) -> Measurements:
    """Return the first data set's networks, and one for each of three components that made labels."""
    kept = [layer for layer in population if layer.data == "cifar10" and layer.last]
    kept = [layer for layer in kept if layer.kind in (first_layer.TRUE, first_layer.RANDOM)]
    made = [
        replace(
            kept[0],
            label=Label("cifar10", first_layer.DECILES, component),
            learned=EnergyProfile(energy(component), 32),
        )
        for component in (2, 8, 15)
    ]
    own = replace(kept[0], label=Label("cifar10", first_layer.OWN, 0))
    measured = drawn([*kept, *made, own], patches)
    table, fits, accuracy = amplified_profiles(patches)
    fitted = pd.DataFrame({"network": accuracy.index, "train_accuracy": accuracy})
    added = {"amplified": table, "amplified_fits": fits}
    added["networks"] = pd.concat([measured.tables["networks"], fitted], ignore_index=True)
    return replace(measured, tables={**measured.tables, **added})


@pytest.mark.slow
def test_labels_of_one_component_that_change_the_profile_are_seen(population, patches):
    random = next(layer for layer in population if layer.kind == first_layer.RANDOM).learned.energy

    def dominated(component):
        spike = torch.zeros(27, dtype=torch.float64)
        spike[component - 1] = 4 * random.max()
        return random + spike

    found = fig8.claims(deciles(population, patches, dominated))
    assert [claim.verdict for claim in found[:3]] == ["holds", "holds", "holds"]
    found = fig8.claims(deciles(population, patches, lambda component: random + 1e-3 * component))
    assert found[0].verdict == "does not hold"
    assert found[0].measured == pytest.approx(1, abs=0.02)


def amplified_profiles(patches, gained: bool = True, alike: bool = True, foreseen: float = 0.95):
    """Return profiles and fits of one amplified data set: learned as the formula says, or not."""
    after = amplified_covariance(patches, 14, amplification(patches, 14))
    energy = predicted_energy(after, SCALED_TIME / float(after.standard_deviations[0]) ** 2).energy
    energy = energy / energy.max()
    before = energy.clone()
    before[PLACE - 1] = 0.01 if gained else 1.0
    true, random = first_layer.TRUE, first_layer.RANDOM
    curves = [
        ("amplified", true, energy),
        ("amplified", random, energy if alike else energy.flip(0)),
        ("amplified", first_layer_amplified.FORMULA, energy),
        ("unchanged", true, before),
        ("unchanged", random, before * 0.5),
        ("unchanged", random, before),
    ]
    table = pd.DataFrame(
        [
            {
                "data": "amplified 15",
                "changed": 15,
                "images": images,
                "kind": kind,
                "component": i,
                "energy": value,
            }
            for images, kind, curve in curves
            for i, value in enumerate(curve.tolist(), 1)
        ]
    )
    fits = [{"a": f"amplified 15, {kind} 0", "value": foreseen, "unchanged": 0.93} for kind in (true, random)]
    return table, pd.DataFrame(fits), pd.Series({row["a"]: 0.97 for row in fits})


def test_an_amplified_component_that_is_learned_or_not_is_seen(patches):
    found = first_layer_amplified.claims(*amplified_profiles(patches))
    assert [claim.verdict for claim in found] == ["holds", "holds", "holds"]
    found = first_layer_amplified.claims(
        *amplified_profiles(patches, gained=False, alike=False, foreseen=0.5)
    )
    assert [claim.verdict for claim in found] == ["does not hold"] * 3
    figure = first_layer_amplified.draw(amplified_profiles(patches)[0])
    assert [len(ax.lines) for ax in figure.axes] == [5]


def test_a_formula_that_fits_no_better_than_without_the_change_foresees_nothing(patches):
    found = first_layer_amplified.claims(*amplified_profiles(patches, foreseen=0.92))
    assert [claim.verdict for claim in found] == ["holds", "holds", "does not hold"]


def test_amplified_networks_that_do_not_fit_their_labels_say_nothing_about_them(patches):
    table, fits, accuracy = amplified_profiles(patches)
    assert first_layer_amplified.claims(table, fits, accuracy - 0.5)[0].verdict == "not testable"


def test_amplified_images_have_their_component_at_the_place_that_was_chosen():
    images, test = pictures(80), pictures(60, seed=1)
    train, other = amplified(images, test, component=14, count=40)
    assert (len(train), len(other), train.pixels.shape[2:]) == (40, 40, (36, 36))
    kept = images.sample(40, seed=0)
    assert torch.equal(train.labels, kept.labels)
    before = first_patches(kept)
    inside = train.pixels[:, :, 3:-3, 3:-3]
    seen = patch_covariance(inside, 3, stride=3, normalization=normalization(READING))
    expected = amplified_covariance(before, 14, amplification(before, 14))
    direction = before.eigenvectors[:, 14]
    assert abs(float(seen.eigenvectors[:, PLACE - 1] @ direction)) > 0.99
    torch.testing.assert_close(
        seen.standard_deviations[:PLACE], expected.standard_deviations[:PLACE], rtol=0.02, atol=0
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["table1", "table2", "table3", "fig1", "fig3", "fig7"])
def test_tables_and_curves_redraw_from_what_is_kept(name, population, patches, tmp_path):
    measured = {
        "table1": agreeing,
        "table2": agreeing,
        "table3": lambda layers: fitting(layers, patches),
    }.get(name, lambda layers: drawn(layers, patches))(population)
    found = exhibit(f"first-layer-{name}")
    kept = unpacked(tmp_path, packed(measured))
    assert [claim.verdict for claim in found.claims(kept)] == [
        claim.verdict for claim in found.claims(measured)
    ]
    for figure in found.draw(kept).values():
        assert all(ax.has_data() for ax in figure.axes)


@pytest.mark.slow
def test_a_table_is_drawn_with_the_papers_numbers_where_there_are_any(population):
    from matplotlib.figure import Figure

    values = agreeing(population).tables["values"]
    ax = forest(values, {("cifar10", first_layer.LABELS): (0.9, 0.02)}, Figure().subplots())
    assert "paper" in ax.get_legend_handles_labels()[1]
    assert len(ax.get_yticks()) == len(values[values["last"]].groupby(["data", "quantity"]))


def test_energy_deciles_relabel_the_images_that_a_training_of_so_many_draws():
    images, test = pictures(80), pictures(20, seed=1)
    train, relabelled = energy_deciles(images, test, component=4, count=40)
    assert torch.equal(train.pixels, images.sample(40, seed=0).pixels)
    assert train.labels.bincount().tolist() == [4] * 10
    assert relabelled.labels.bincount().tolist() == [2] * 10
    assert train.classes == relabelled.classes
    assert math.isclose(len(train), 40)
