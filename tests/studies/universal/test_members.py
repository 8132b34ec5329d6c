from covalign.studies.subjects import subjects
from covalign.studies.universal import members as module
from covalign.studies.universal.members import moments_of, population, stride_of
from samples.pictures import corners


def test_positions_are_left_out_only_where_enough_remain():
    assert stride_of(8192, 30) == 1
    for positions, d in ((8193, 30), (204_800, 160), (51_200, 1280), (10**7, 64)):
        stride = stride_of(positions, d)
        assert stride % 2 == 1
        assert positions / stride >= max(8192, 8 * d) / 3


def test_moments_of_some_positions_estimate_those_of_all(members, monkeypatch):
    opened = subjects(members[:2])
    found = population(opened, {each.name: "x" for each in opened})
    images = corners(40, 3, "train")
    full, _ = next(moments_of(found, [1], images, {}))
    monkeypatch.setattr(module, "FEWEST", 1)
    few, _ = next(moments_of(found, [1], images, {}))
    assert float(few[0, 0].trace()) < 0.1 * float(full[0, 0].trace())
    for key, moment in full.items():
        scaled = few[key] * (float(full[key].trace()) / float(few[key].trace()))
        assert float((scaled - moment).norm() / moment.norm()) < 0.2
