"""How do figures look? As rcParams dictionaries that merge with ``|``; nothing is set globally.

``with matplotlib.rc_context(journal(columns=2.0)): ...`` styles what is drawn inside. Series differ by
colour, marker and dash at once, so that a figure reads on grey paper and for colour-blind readers.
Palette: Okabe and Ito (2008), without its yellow and black.
"""

from typing import Any, TypeAlias

Style: TypeAlias = dict[Any, Any]
"""rcParams by name."""

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", "--", ":", "-.")
GREY = "#7f7f7f"
COLUMN_WIDTH = 3.4
LABEL_LENGTH = 32


def fonts(size: float = 8.0) -> Style:
    """Return serif text of ``size`` points, with mathematics to match (both ship with matplotlib)."""
    return {
        "font.family": ["STIXGeneral", "DejaVu Sans"],
        "mathtext.fontset": "stix",
        "font.size": size,
        "axes.titlesize": size,
        "axes.labelsize": size,
        "legend.fontsize": size - 1,
        "xtick.labelsize": size - 1,
        "ytick.labelsize": size - 1,
        "pdf.fonttype": 42,
    }


def lines() -> Style:
    """Return thin lines, small markers and open axes."""
    return {
        "lines.linewidth": 1.2,
        "lines.markersize": 3.5,
        "axes.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "legend.frameon": False,
        "image.interpolation": "nearest",
        "savefig.dpi": 200,
    }


def size(columns: float = 1.0, ratio: float = 0.68) -> Style:
    """Return the figure size for ``columns`` journal columns of 3.4 inches; ``ratio`` is height / width."""
    width = COLUMN_WIDTH * columns
    return {"figure.figsize": (width, width * ratio)}


def journal(columns: float = 1.0, ratio: float = 0.68) -> Style:
    """Return the whole style: `fonts`, `lines` and `size`."""
    return fonts() | lines() | size(columns, ratio)


def series(index: int) -> dict[str, Any]:
    """Return colour, marker and dash of the ``index``-th series; the first 24 all differ."""
    turn, place = divmod(index, len(PALETTE))
    return {"color": PALETTE[place], "marker": MARKERS[place], "linestyle": DASHES[turn % len(DASHES)]}


def shorten(name: str, length: int = LABEL_LENGTH) -> str:
    """Return ``name`` with its middle replaced by an ellipsis where it exceeds ``length`` characters."""
    if len(name) <= length:
        return name
    head = (length - 1) // 2
    return f"{name[:head]}…{name[head + 1 - length :]}"


def plain(name: str) -> str:
    """Return ``name`` as matplotlib draws it letter by letter: no mathematics, not hidden from legends."""
    text = shorten(name).replace("$", r"\$")
    return f"\u200b{text}" if text.startswith("_") else text
