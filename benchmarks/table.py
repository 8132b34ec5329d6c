"""Write `docs/results/speed/README.md` and `table.csv` from the rows that the benchmarks left.

python benchmarks/table.py
"""

import csv
import platform
from pathlib import Path

import torch

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "speed"


def processor() -> str:
    """Name of the processor, where the system tells."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


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
        f"`make bench` on {processor()} ({torch.backends.cpu.get_cpu_capability()}), one thread, PyTorch "
        f"{torch.__version__}. Seconds are of the processor, medians of alternating runs; the range of the ratio is "
        "that over rounds. Before timing, both sides are checked to have computed the same. Limit: the share of our "
        "time that the work would take at the stated rate, measured in the same run.\n",
        "| work | rival | ours | rival's | ratio (range) | asked | met | memory, MB | limit |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ratio, asked = float(row["ratio"]), float(row["at_least"])
        lines.append(
            f"| {row['work']} | {row['rival']} | {row['ours_s']} s | {row['rival_s']} s | "
            f"{ratio:.3g} ({float(row['lowest']):.3g}-{float(row['highest']):.3g}) | {asked:g} | "
            f"{'yes' if ratio >= asked else 'no'} | {row['ours_mb']} / {row['rival_mb']} | "
            f"{float(row['of_limit']):.0%} of {row['limit']} |"
        )
    lines += (
        ["", (RESULTS / "missed.md").read_text(encoding="utf-8").strip()]
        if (RESULTS / "missed.md").exists()
        else []
    )
    (RESULTS / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
