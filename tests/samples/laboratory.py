"""A Dask scheduler and its workers in processes of their own, as a laboratory has them; each may be killed."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).parents[1]
IMPORTABLE = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
"""An environment in which processes import what the tests do."""


def waited_for(what: Callable[[], object]) -> bool:
    """Wait for something to be so; a minute at most."""
    for _ in range(600):
        if what():
            return True
        time.sleep(0.1)
    return False


def gone(process: int) -> bool:
    """Whether a process is no more, or waits for its parent to hear of its end."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@contextmanager
def laboratory(named: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Give a scheduler that has one worker, once it has written the file that names it."""
    with _started("dask_scheduler", "--port", 0, "--scheduler-file", named) as scheduler:
        assert waited_for(lambda: named.exists() and named.stat().st_size)
        own = ["--nthreads", 1, "--local-directory", named.parent]
        with _started("dask_worker", "--scheduler-file", named, *own):
            yield scheduler


@contextmanager
def _started(module: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", f"distributed.cli.{module}", "--no-dashboard", *map(str, arguments)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=IMPORTABLE, stdout=quiet, stderr=quiet) as process:
        try:
            yield process
        finally:
            process.kill()
