"""Which size is meant by a name?"""

from covalign.errors import InputError
from covalign.papers.scales.laptop import LAPTOP
from covalign.papers.scales.paper import PAPER
from covalign.papers.scales.scale import Scale
from covalign.papers.scales.smoke import SMOKE


def scale(name: str) -> Scale:
    """Return "smoke", "laptop" or "paper".

    Raises:
        InputError: no such scale.
    """
    if name not in SCALES:
        raise InputError(f"--scale: got {name!r}, expected one of {', '.join(SCALES)}")
    return SCALES[name]


SCALES = {each.name: each for each in (SMOKE, LAPTOP, PAPER)}
