"""How is a speed claim measured, so that it is a ratio on the same work, in one run, on the same threads?

`measured` checks first that both sides computed the same, then runs them alternately on one thread and counts
processor seconds, which a busy machine blurs least. A row states medians, the range of the ratio over rounds, the
memory that each needs beyond what was there before, and the time that the work would take at a stated limit: this
machine's own rate of matrix products, or of copying memory, measured in the same run. Each benchmark writes its rows
beside `docs/results/speed/README.md`; `benchmarks/table.py` makes that page of them.
"""

import csv
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "speed"


def machine() -> str:
    """Name of the processor, where the system tells, the widest instructions that PyTorch uses, and its version."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or "unknown processor"
    return f"{name} ({torch.backends.cpu.get_cpu_capability()}), PyTorch {torch.__version__}"


@dataclass(frozen=True)
class Row:
    """One claim, measured."""

    work: str
    rival: str
    ours_s: float
    rival_s: float
    ratio: float
    lowest: float
    highest: float
    at_least: float
    ours_mb: float
    rival_mb: float
    limit: str
    of_limit: float
    difference: float
    machine: str = field(default_factory=lambda: machine())

    @property
    def met(self) -> bool:
        """Whether the ratio is what was asked for."""
        return self.ratio >= self.at_least


@dataclass(frozen=True)
class Limit:
    """What the machine cannot do faster: seconds, and in words."""

    seconds: float
    words: str


def seconds_of(method: Callable[[], Any]) -> float:
    """Processor seconds of one call."""
    start = time.process_time()
    method()
    return time.process_time() - start


class Stages:
    """Told how far it is, it adds up the processor seconds of every stage.

    Attributes:
        seconds: by stage, since this was made.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = time.process_time()

    def __call__(self, stage: str, share: float, note: str = "", /) -> None:
        """Count what passed since the last call to the stage that is named."""
        now = time.process_time()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self.last
        self.last = now


def products(flops: float, dtype: torch.dtype = torch.float64) -> Limit:
    """Time for so many operations at this machine's rate of matrix products on one thread."""
    a = torch.randn(1024, 1024, dtype=dtype)
    rate = 2 * 1024**3 / min(seconds_of(lambda: a @ a) for _ in range(5))
    return Limit(flops / rate, f"{str(dtype)[6:]} products at {rate / 1e9:.0f} GFLOP/s")


def copying(count: float) -> Limit:
    """Time to read and write so many bytes at this machine's rate of copying on one thread."""
    a = torch.zeros(2**25)
    b = torch.empty_like(a)
    rate = 2 * 4 * len(a) / min(seconds_of(lambda: b.copy_(a)) for _ in range(5))
    return Limit(count / rate, f"memory at {rate / 1e9:.1f} GB/s")


def peak_megabytes(method: Callable[[], Any]) -> float:
    """Resident memory that a call needs beyond what this process has: measured in a fork of it."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            method()
            needed = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            os.write(writer, str(needed / 1024).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as told:
        return float(told.read() or "nan")


def measured(
    work: str,
    rival: str,
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    *,
    difference: float,
    allowed: float,
    at_least: float,
    limit: Limit,
    rounds: int = 3,
    ours_times: int = 1,
    theirs_times: float = 1,
    memory: bool = True,
) -> Row:
    """Measure one claim.

    Args:
        work: what is computed.
        rival: by whom else, with its version.
        ours, theirs: the two calls.
        difference: of what they computed; refused above ``allowed``.
        at_least: ratio asked for.
        limit: see `products` and `copying`.
        rounds: alternations.
        ours_times: calls of ours a round, where one is too short to time; seconds are of one.
        theirs_times: how many calls of theirs the same work takes, where each takes as long.
        memory: also measure memory, which takes another call of both.
    """
    assert difference <= allowed, f"{work}: {rival} computed something else, by {difference:.1e}"
    ours()
    fast, slow = [], []
    for _ in range(rounds):
        fast.append(seconds_of(lambda: [ours() for _ in range(ours_times)]) / ours_times)
        slow.append(seconds_of(theirs) * theirs_times)
    ratios = [b / a for a, b in zip(fast, slow, strict=True)]
    peaks = (peak_megabytes(ours), peak_megabytes(theirs)) if memory else (float("nan"), float("nan"))
    median = statistics.median(fast)
    row = Row(
        work,
        rival,
        median,
        statistics.median(slow),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        at_least,
        *peaks,
        limit.words,
        limit.seconds / median,
        difference,
    )
    print(
        f"{work}: {row.ratio:.1f}x {rival} ({row.lowest:.1f}-{row.highest:.1f}), {at_least:g}x asked",
        flush=True,
    )
    return row


def write(name: str, rows: Iterable[Row]) -> None:
    """Write the rows of one benchmark."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (RESULTS / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        table.writeheader()
        table.writerows(
            {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in asdict(row).items()} for row in rows
        )
