"""What do the tables keep of two networks?"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from covalign.studies.lineage.columns import MISSING, KinRow, TraceRow
from covalign.studies.lineage.third import APART, OLDER_A, OLDER_B, Place
from covalign.studies.lineage.verdict import Evidence, Findings, Verdict
from covalign.studies.subjects import Subject


def kin_row(
    a: str, b: str, found: Findings, said: Verdict, places: Sequence[tuple[Place, str]]
) -> tuple[KinRow, Verdict]:
    """Return the row of two networks, and the verdict with what third networks add to it."""
    where = [entry for entry, _ in places]
    older = {a for entry in where if entry in OLDER_A} | {b for entry in where if entry in OLDER_B}
    ancestor = older.pop() if len(older) == 1 else ""
    if said is Verdict.DERIVED and not ancestor and any(entry in APART for entry in where):
        said = Verdict.COMMON_ANCESTOR
        starts = [name for entry, name in places if entry is Place.START_OF_BOTH]
        ancestor = starts[0] if starts else ""
    row = KinRow(
        a=a,
        b=b,
        verdict=said.value,
        p_value=found.p_value,
        layers=len(found.layers),
        tested=sum(layer.tested for layer in found.layers),
        related=sum(layer.related for layer in found.layers),
        left_out=found.left_out,
        how=", ".join(f"{kind.name.lower()} {amount}" for kind, amount in found.kinds),
        ancestor=ancestor,
        evidence="; ".join(dict.fromkeys(entry.of(a, b, name) for entry, name in places)),
    )
    return row, said


def trace_rows(a: Subject, b: Subject, found: Findings) -> Iterator[TraceRow]:
    """Yield a row a layer of a, then one for each layer of b without a counterpart."""
    tests = sum(layer.tested for layer in found.layers)
    known = {layer.where.depth: layer for layer in found.layers}
    for depth, layer in enumerate(a.network.layers, 1):
        row = TraceRow(
            a.name, b.name, layer.name, "", depth, layer.neurons, layer.dimension, relation=MISSING
        )
        yield _filled(row, known[depth], tests) if depth in known else row
    used = {id(layer.where.b) for layer in found.layers}
    for depth, layer in enumerate(b.network.layers, 1):
        if id(layer) not in used:
            yield TraceRow(
                a.name, b.name, "", layer.name, depth, layer.neurons, layer.dimension, relation=MISSING
            )


def _filled(row: TraceRow, layer: Evidence, tests: int) -> TraceRow:
    """Return a row with what a layer of both networks says."""
    trace, change = layer.trace, layer.change
    row = replace(
        row,
        layer_b=layer.where.b.name,
        role=layer.where.pair.role.name.lower(),
        relation=trace.relation.name.lower(),
        pattern=trace.pattern,
        telling=layer.telling,
        cosine=trace.cosine,
    )
    if layer.tested:
        row = replace(
            row,
            detectable=trace.detectable(tests),
            p_order=trace.p_order,
            p_matched=trace.p_matched,
            p_value=trace.p_value,
        )
    if change is None:
        return row
    return replace(
        row,
        change=change.kind.name.lower(),
        size=change.size,
        zeros_a=change.zeros_a,
        zeros_b=change.zeros_b,
        rank=change.rank or math.nan,
    )
