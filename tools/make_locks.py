"""Write what make installs, with the hashes of its files: `locks/`.

    base.txt    what the package needs               make demo
    dev.txt     what its tests need beyond that      make test, make check
    docs.txt    what its site needs beyond that      make docs
    cuda.txt    what the public build of PyTorch for Linux needs beyond that; nothing else does

pyproject.toml states the ranges and constraints.txt the releases; uv finds, for all systems and Pythons at once, what
they need in turn and the hashes of all files of these releases. To take newer ones, edit constraints.txt, then

    pip install uv
    python tools/make_locks.py

Only wheels are installed from a lock (`--only-binary`): building a source distribution would fetch tools that no hash
protects. A test says where the locks no longer fit the project.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = "3.11.5"
"""The oldest that all of it can be installed on."""

ELSEWHERE = {
    # CPU build, CPython 3.11, Linux on x86_64
    "torch==2.13.0": ("6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",),
}
"""SHA-256 of files that the package index does not offer, accepted beside those that it does."""

CUDA = re.compile(r"(cuda|nvidia)-|triton==")
HEAD = """\
# Written by tools/make_locks.py from pyproject.toml and constraints.txt.
"""


def resolved(extra: str) -> dict[str, str]:
    """By its first line, each requirement with its hashes and what asks for it."""
    options = (
        "--universal --generate-hashes --no-header --quiet --constraint constraints.txt --python-version"
    )
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", *options.split(), PYTHON]
    command += ["--extra", extra] if extra else []
    done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit(done.returncode)
    entries = re.split(r"^(?=\w)", done.stdout, flags=re.MULTILINE)
    return {entry.split("\n")[0]: admitting(entry) for entry in entries if entry.strip()}


def admitting(entry: str) -> str:
    """The requirement, with the hashes of files that are offered elsewhere."""
    first, rest = entry.split("\n", 1)
    more = "".join(f"    --hash=sha256:{each} \\\n" for each in ELSEWHERE.get(entry.split()[0], ()))
    return f"{first}\n{more}{rest}"


def beyond(part: dict[str, str], whole: dict[str, str]) -> dict[str, str]:
    """What the whole has and the part does not."""
    return {line: entry for line, entry in whole.items() if line not in part}


def main() -> None:
    """Resolve the three sets and write the four files."""
    needed = resolved("")
    cuda = {line: entry for line, entry in needed.items() if CUDA.match(line)}
    if unused := ELSEWHERE.keys() - {line.split()[0] for line in needed}:
        sys.exit(f"{', '.join(unused)} has hashes here, but is no release that is needed; mend ELSEWHERE")
    texts = {
        "base": HEAD + "".join(beyond(cuda, needed).values()),
        "cuda": HEAD + "".join(cuda.values()),
        "dev": HEAD + "-r base.txt\n" + "".join(beyond(needed, resolved("dev")).values()),
        "docs": HEAD + "-r base.txt\n" + "".join(beyond(needed, resolved("docs")).values()),
    }
    for name, text in texts.items():
        (ROOT / "locks" / f"{name}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
