import torch

from covalign.networks.readers.twins import Twins


def part(seed):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(3, 4, generator=generator) for name in ("a.weight", "b.weight")}


def test_parts_are_looked_up_and_not_compared_with_all_others(monkeypatch):
    compared, equal = [], torch.equal
    monkeypatch.setattr(torch, "equal", lambda one, two: compared.append(one) or equal(one, two))
    twins = Twins()
    for seed in range(200):
        assert twins.find(f"part {chr(65 + seed)}", part(seed)) == ""
        twins.add(f"part {chr(65 + seed)}", part(seed))
    assert compared == []
    assert twins.find("once more", part(7)) == "part H"
    assert len(compared) == 2


def test_a_later_number_tells_parts_apart():
    twins = Twins()
    one = part(0)
    other = {name: tensor.clone() for name, tensor in one.items()}
    other["b.weight"][-1, -2] += 1
    twins.add("one", one)
    assert twins.find("two", other) == ""
    assert twins.find("two", one) == "one"
