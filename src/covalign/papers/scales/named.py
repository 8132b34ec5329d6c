"""Which size is meant by a name?"""

from covalign.errors import unknown
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
        raise unknown("--scale", name, SCALES)
    return SCALES[name]


SCALES = {each.name: each for each in (SMOKE, LAPTOP, PAPER)}
