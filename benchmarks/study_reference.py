"""Is R the same when networks are aligned through what all have in common, and what does it cost?

    python benchmarks/study_reference.py --store STORE --pairs PAIRS    # 4, 8, 16, 32 networks

Networks are those of `study_seeds.py`, half of them of each condition; PAIRS is the table of all pairs that it wrote,
aligned pair by pair on the same images. Processor seconds of the alignments, whose number grows with that of
networks, and of R, which every pair still takes.
"""

import argparse
from pathlib import Path

import pandas as pd
from harness import Stages
from study_seeds import markdown, trained

from covalign import compare

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "reference"
COUNTS = (4, 8, 16, 32)
KEY = ["a", "b", "depth"]


def measured(store: Path, count: int) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return the table of ``count`` networks that are aligned in common, and what each stage took."""
    networks, images = trained(store, count // 2, workers=1)
    stages = Stages()
    found = compare(
        networks,
        images,
        controls=False,
        calibrate=False,
        curves=False,
        layer_map=False,
        reference=True,
        max_images=None,
        memory=4 * 2**30,
        progress=stages,
    )
    return found.table, stages.seconds


def write(table: pd.DataFrame, out: Path) -> None:
    """Write table and page."""
    out.mkdir(parents=True, exist_ok=True)
    table.round(4).to_csv(out / "table.csv", index=False)
    lines = [
        "# Alignment through what all networks have in common",
        "",
        "    python benchmarks/study_reference.py --store STORE --pairs PAIRS",
        "",
        "`compare(..., reference=True)` beside alignment pair by pair: R of the same pairs of networks, trained on",
        "two sets of embedded photographs with the demo's recipe, aligned on 2,000 images of both; layers beyond",
        "the first.",
        "",
        *markdown(table.round(3)),
        "",
    ]
    (out / "README.md").write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    """Compare, and write table and page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    pairwise = pd.read_parquet(given.pairs)
    rows = []
    for count in given.counts:
        table, seconds = measured(given.store, count)
        both = table.merge(pairwise, on=KEY, suffixes=("", "_pair"))
        deep = both[(both["depth"] > 1) & both["debiased"].notna() & both["debiased_pair"].notna()]
        off = deep["debiased"] - deep["debiased_pair"]
        held = (deep["debiased_low_pair"] <= deep["debiased"]) & (
            deep["debiased"] <= deep["debiased_high_pair"]
        )
        rows.append(
            {
                "networks": count,
                "layers of pairs": len(deep),
                "mean R": deep["debiased"].mean(),
                "mean R, pair by pair": deep["debiased_pair"].mean(),
                "mean difference": off.mean(),
                "median size of difference": off.abs().median(),
                "largest": off.abs().max(),
                "inside the pair's interval": held.mean(),
                "alignment, s": seconds["alignments"],
                "alignment, s a network": seconds["alignments"] / count,
                "R of all pairs, s": seconds["similarities"],
            }
        )
        table = pd.DataFrame(rows)
        print(table.round(3).to_string(), flush=True)
        write(table, given.out)


if __name__ == "__main__":
    main()
