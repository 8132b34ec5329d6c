import torch

from covalign.encoding.lineage.trace import LEVEL, Pair, Relation, Role, corresponding, trace_layers
from samples.planted import generator

ROLES = (Role.FIRST, Role.HIDDEN, Role.GROUPED, Role.HIDDEN, Role.LAST)
SHAPES = ((16, 3, 9), (24, 16, 9), (24, 1, 9), (32, 24, 1), (10, 32, 1))


def weights(seed):
    draw = generator(seed)
    return [torch.randn(shape, generator=draw) for shape in SHAPES]


def reordered(layers, seed=0):
    """The same network with its hidden neurons in another order, and rescaled."""
    draw = generator(seed)
    first, second, third = (torch.randperm(n, generator=draw) for n in (16, 24, 32))
    scale = torch.rand(16, generator=draw) + 0.5
    a, b, c, d, e = layers
    return [
        a[first] * scale[:, None, None],
        b[second][:, first] / scale[None, :, None],
        c[second],
        d[third][:, second],
        e[:, third],
    ]


def traced(one, two):
    return trace_layers([Pair(a, b, role) for a, b, role in zip(one, two, ROLES, strict=True)])


def noisy(layers, size):
    return [w + size * x for w, x in zip(layers, weights(77), strict=True)]


def test_independent_networks_show_no_relation():
    traces = traced(weights(0), weights(1))
    assert {trace.relation for trace in traces} == {Relation.NONE}
    assert min(trace.p_value for trace in traces) > LEVEL


def test_relatives_in_the_files_order_are_found_in_every_layer():
    traces = traced(weights(0), noisy(weights(0), 0.7))
    assert {trace.relation for trace in traces} == {Relation.SAME_ORDER}


def test_permuted_and_rescaled_relatives_are_found_and_put_back_in_order():
    base = weights(0)
    twin = reordered(noisy(base, 0.3))
    traces = traced(base, twin)
    relations = [trace.relation for trace in traces]
    assert relations == [
        Relation.OTHER_ORDER,
        Relation.OTHER_ORDER,
        Relation.FOLLOWS,
        Relation.OTHER_ORDER,
        Relation.FOLLOWS,
    ]
    for a, b, role, trace in zip(base, twin, ROLES, traces, strict=True):
        one, two = corresponding(Pair(a, b, role), trace)
        assert torch.nn.functional.cosine_similarity(one.flatten(), two.flatten(), 0) > 0.8


def test_only_the_layers_that_were_kept_are_related():
    base, other = weights(0), weights(1)
    traces = traced(base, [*base[:2], *other[2:]])
    related = [trace.relation is Relation.SAME_ORDER for trace in traces]
    assert related == [True, True, False, False, False]


def test_zeros_and_a_handful_of_neurons_are_not_tested():
    few, nothing = torch.randn(3, 3, 9, generator=generator(0)), torch.zeros(8, 8, 9)
    traces = trace_layers([Pair(few, few, Role.FIRST), Pair(nothing, nothing, Role.HIDDEN)])
    assert [trace.relation for trace in traces] == [Relation.UNTESTED, Relation.UNTESTED]


def test_relatives_are_found_among_as_many_layers_as_the_deepest_networks_have():
    draw = generator(9)
    layers = [torch.randn(8, 8, 2, generator=draw) for _ in range(160)]
    moved = [w + 0.1 * torch.randn(w.shape, generator=draw) for w in layers]
    traces = trace_layers([Pair(*both, Role.HIDDEN) for both in zip(layers, moved, strict=True)])
    found = [trace.relation for trace in traces]
    assert (
        found.count(Relation.SAME_ORDER) >= 150
    )  # the others look like a pattern, by chance of eight neurons
    assert set(found) <= {Relation.SAME_ORDER, Relation.FIXED}


def test_neurons_in_another_order_are_found_with_signs_turned():
    base = weights(0)
    turned = [w * torch.randn(len(w), 1, 1, generator=generator(i)) for i, w in enumerate(reordered(base))]
    traces = traced(base, [*turned[:4], reordered(base)[4]])
    assert [trace.relation for trace in traces][:2] == [Relation.OTHER_ORDER] * 2
    one, two = corresponding(Pair(base[1], turned[1], Role.HIDDEN), traces[1])
    assert (torch.nn.functional.cosine_similarity(one.flatten(1), two.flatten(1)) > 0.5).all()
