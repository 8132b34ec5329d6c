"""Which exhibits are there?"""

from importlib import import_module

from covalign.errors import InputError
from covalign.papers.exhibit import Exhibit

NAMES = (
    "encodings-fig4",
    "encodings-fig3",
    "first-layer-table2",
    "first-layer-table3",
    "encodings-fig1",
    "encodings-fig2",
    "encodings-fig5",
    "first-layer-table1",
    "first-layer-fig1",
    "first-layer-fig3",
    "first-layer-fig7",
    "first-layer-fig4",
    "first-layer-fig5",
    "first-layer-fig6",
    "first-layer-fig2",
    "first-layer-fig8",
)
"""In the order in which they are worth having; each is the ``EXHIBIT`` of the module of its name."""


def exhibit(name: str) -> Exhibit:
    """Return an exhibit by its name.

    Raises:
        InputError: no such exhibit.
    """
    if name not in NAMES:
        raise InputError(f"reproduce: got {name!r}, expected all, or one of {', '.join(NAMES)}")
    found: Exhibit = import_module(f"covalign.papers.{_module(name)}").EXHIBIT
    return found


def _module(name: str) -> str:
    """Return where an exhibit stands: "encodings-fig4" in ``encodings.fig4``."""
    paper, _, figure = name.rpartition("-")
    return f"{paper.replace('-', '_')}.{figure}"
