"""Labels of networks, and tables of earlier versions that knew them by their text alone."""

import pandas as pd

from covalign.papers.encodings.kernel_population import TRUE, Kernels
from covalign.papers.encodings.population import labelled, replicate
from covalign.papers.first_layer.fig2 import networks
from covalign.papers.label import Label, completed
from covalign.papers.scales.laptop import LAPTOP


def test_labels_are_written_as_they_always_were():
    assert str(Label("cifar10", "true labels", 2)) == "cifar10, true labels 2"
    assert str(replicate("cifar10", 1)) == "cifar10 1"
    assert str(labelled(LAPTOP, "random labels", 0)) == "random labels 0"
    assert str(Kernels("cifar10", 7, TRUE, 1).label) == "cifar10 7x7 true labels 1"
    assert [str(label) for label in networks(LAPTOP).values()][:2] == ["vgg11, frozen", "vgg11, learned"]


def test_labels_are_ordered_by_data_kind_and_number():
    labels = [Label("b", "k", 0), Label("a", "k", 10), Label("a", "k", 2)]
    assert sorted(labels) == labels[::-1]


def test_tables_of_earlier_versions_get_their_columns():
    label = Label("cifar10", "energy deciles", 15)
    tables = {
        "networks": pd.DataFrame({"network": [str(label)], "data": ["cifar10-jpeg"], "labels": ["true"]}),
        "curves": pd.DataFrame({"network": [str(label)] * 2, "data": "cifar10", "energy": [0.5, 1.0]}),
        "amplified": pd.DataFrame({"data": ["amplified 24"], "network": ["formula"]}),
    }
    found = completed(tables, [label], LAPTOP.data)
    row = found["networks"].iloc[0]
    assert (row["images"], row["data"], row["kind"], row["number"]) == (
        "cifar10-jpeg",
        "cifar10",
        "energy deciles",
        15,
    )
    assert found["curves"]["number"].tolist() == [15, 15]
    assert found["amplified"]["changed"].tolist() == [24]
    assert completed(found, [label], LAPTOP.data).keys() == found.keys()
