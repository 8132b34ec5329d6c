import pandas as pd
import pytest

from covalign.papers.bench import Bench
from covalign.papers.catalogue import exhibit
from covalign.papers.exhibit import Measurements
from covalign.papers.first_layer import fig2, fig4, fig5, fig6
from covalign.papers.first_layer.fig6 import CHANGE, PIXELS, TRAINED, UNTRAINED, WHITENER
from covalign.papers.reproduction import packed, unpacked
from covalign.papers.scales.smoke import SMOKE
from covalign.training.store import RunStore


def verdicts(claims) -> list[str]:
    return [claim.verdict for claim in claims]


def history(gaps: dict[str, float]) -> Measurements:
    rows = [
        {
            "network": f"{depth}, {kind}",
            "depth": depth,
            "first_layer": kind,
            "epoch": epoch,
            "train_loss": 2 / epoch,
            "test_accuracy": (0.5 - (gap if kind == "frozen" else 0)) if epoch % 2 == 0 else None,
        }
        for depth, gap in gaps.items()
        for kind in ("frozen", "learned")
        for epoch in range(1, 21)
    ]
    return Measurements({"history": pd.DataFrame(rows)})


def correlations(value: float, p_value: float) -> Measurements:
    rows = [
        {
            "data": "cifar10",
            "quantity": quantity,
            "images": 10_000,
            "class": cls,
            "component": component,
            "correlation": value * (-1) ** component,
            "p_value": p_value,
        }
        for quantity in (fig5.COEFFICIENT, fig5.ENERGY)
        for cls in range(10)
        for component in range(1, 28)
    ]
    return Measurements({"correlations": pd.DataFrame(rows)})


def autocorrelations(trained: float, untrained: float) -> Measurements:
    decays = {PIXELS: 0.5, UNTRAINED: untrained, TRAINED: trained, CHANGE: 0.1, WHITENER: 0.1}
    rows = [
        {
            "data": "cifar10",
            "source": source,
            "network": network,
            "distance": distance,
            "horizontal": 1.0 if distance == 0 else level,
            "vertical": 1.0 if distance == 0 else level,
        }
        for source, level in decays.items()
        for network in (["a", "b"] if source in (UNTRAINED, TRAINED, CHANGE) else [""])
        for distance in range(16)
    ]
    return Measurements({"autocorrelations": pd.DataFrame(rows)})


@pytest.fixture(scope="module")
def predictions(tmp_path_factory):
    return fig4.measure(Bench(SMOKE, {}, RunStore(tmp_path_factory.mktemp("store"))))


def test_a_frozen_layer_that_costs_less_with_depth_satisfies_figure_2():
    claims = fig2.claims(history({"vgg11": 0.1, "vgg16": 0.01}))
    assert verdicts(claims) == ["holds", "holds"]
    assert claims[1].measured == pytest.approx(0.09)


def test_a_frozen_layer_that_costs_more_with_depth_is_seen():
    assert verdicts(fig2.claims(history({"vgg11": 0.0, "vgg16": 0.1}))) == ["does not hold"] * 2


def test_gaps_that_seeds_alone_could_make_say_nothing_about_depth():
    claims = fig2.claims(history({"vgg11": 0.005, "vgg16": -0.01}))
    assert verdicts(claims) == ["holds", "not testable"]


def test_one_depth_says_nothing_about_depth():
    claims = fig2.claims(history({"vgg11": 0.01}))
    assert verdicts(claims) == ["holds", "not testable"]


def test_the_formula_rises_falls_and_moves_on_real_patches(predictions):
    assert verdicts(fig4.claims(predictions)) == ["holds", "holds"]


def test_a_formula_that_never_turns_is_seen(predictions):
    table = predictions.tables["predictions"]
    wrong = Measurements({"predictions": table.assign(energy=table["deviation"])})
    assert verdicts(fig4.claims(wrong)) == ["does not hold", "does not hold"]


@pytest.mark.parametrize(
    ("value", "p_value", "expected"),
    [
        (0.005, 0.6, ["holds", "holds"]),
        (0.05, 1e-6, ["holds", "does not hold"]),
        (0.3, 1e-9, ["does not hold", "does not hold"]),
    ],
)
def test_correlations_of_labels_are_judged_by_size_and_by_chance(value, p_value, expected):
    assert verdicts(fig5.claims(correlations(value, p_value))) == expected


@pytest.mark.parametrize(
    ("trained", "untrained", "expected"),
    [(0.2, 0.48, ["holds", "holds"]), (0.4, 0.3, ["does not hold", "does not hold"])],
)
def test_whitening_is_judged_at_ten_pixels(trained, untrained, expected):
    claims = fig6.claims(autocorrelations(trained, untrained))
    assert verdicts(claims) == expected
    assert claims[1].measured == pytest.approx(trained / 0.5)


@pytest.mark.parametrize("name", ["fig2", "fig4", "fig5", "fig6"])
def test_figures_redraw_from_what_is_kept(name, predictions, tmp_path):
    measured = {
        "fig2": history({"vgg11": 0.1, "vgg16": 0.01}),
        "fig4": predictions,
        "fig5": correlations(0.05, 0.2),
        "fig6": autocorrelations(0.2, 0.48),
    }[name]
    found = exhibit(f"first-layer-{name}")
    kept = unpacked(tmp_path, packed(measured))
    assert verdicts(found.claims(kept)) == verdicts(found.claims(measured))
    for figure in found.draw(kept).values():
        assert all(ax.has_data() for ax in figure.axes)
