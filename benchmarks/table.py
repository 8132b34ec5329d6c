"""Write `docs/results/speed/README.md` and `table.csv` from the rows that the benchmarks left.

python benchmarks/table.py
"""

import csv
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "speed"


def line(row: dict[str, str]) -> str:
    """Return a row of the page."""
    ratio, asked = float(row["ratio"]), float(row["at_least"])
    return (
        f"| {row['work']} | {row['rival']} | {row['ours_s']} s | {row['rival_s']} s | "
        f"{ratio:.3g} ({float(row['lowest']):.3g}-{float(row['highest']):.3g}) | {asked:g} | "
        f"{'yes' if ratio >= asked else 'no'} | {row['ours_mb']} / {row['rival_mb']} | "
        f"{float(row['of_limit']):.0%} of {row['limit']} |"
    )


def main() -> None:
    rows = []
    for path in sorted(RESULTS.glob("*.csv")):
        if path.name != "table.csv":
            with path.open(encoding="utf-8") as file:
                rows += [row for row in csv.DictReader(file) if "of_limit" in row]
    with (RESULTS / "table.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    lines = [
        "# Speed, against rivals and against the machine\n",
        "`make bench`; one thread, if the work does not say otherwise. Seconds are of the processor, or of the clock "
        "where the work says wall; medians of alternating runs; the range of the ratio is that over rounds. Before "
        "timing, both sides are checked to have computed the same. Limit: the share of our time that the work would "
        "take at the stated rate, measured in the same run.",
    ]
    for machine in dict.fromkeys(row["machine"] for row in rows):
        lines += [
            f"\n## {machine}\n",
            "| work | rival | ours | rival's | ratio (range) | asked | met | memory, MB | limit |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [line(row) for row in rows if row["machine"] == machine]
    lines += (
        ["", (RESULTS / "missed.md").read_text(encoding="utf-8").strip()]
        if (RESULTS / "missed.md").exists()
        else []
    )
    (RESULTS / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
