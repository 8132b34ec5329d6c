"""How much may a file from elsewhere ask for?

A small file can declare a huge image, a billion classes or an endless loop. Each reader counts before it makes, and
refuses what is beyond its limit, in one line that names the environment variable that raises it. The limits are our
choice: far above what networks and data sets of today need, and far below what makes a machine unusable.
"""

import os
from dataclasses import dataclass

from covalign.errors import InputError


@dataclass(frozen=True)
class Limit:
    """One bound.

    Attributes:
        name: the environment variable that states another one.
        usual: the bound where that is not set.
        unit: what is counted, as it is said in the message.
    """

    name: str
    usual: int
    unit: str

    @property
    def value(self) -> int:
        """The bound that holds.

        Raises:
            InputError: the environment states what is no positive whole number.
        """
        stated = os.environ.get(self.name, "")
        if not stated:
            return self.usual
        if not (stated.isascii() and stated.isdigit() and len(stated) < 19 and int(stated)):
            raise InputError(f"{self.name}: got {stated!r}, expected a positive whole number of {self.unit}")
        return int(stated)

    def check(self, wanted: int, where: str) -> None:
        """Refuse what is beyond the bound.

        Args:
            wanted: how much is asked for.
            where: what asks for it, with its file.

        Raises:
            InputError: more than the bound.
        """
        if wanted > self.value:
            raise InputError(
                f"{where}: asks for {wanted} {self.unit}, expected at most {self.value}; {self.remedy}"
            )

    @property
    def remedy(self) -> str:
        """What to do."""
        return f"if it is to be trusted, set {self.name} to raise that"


PIXELS = Limit("COVALIGN_MAX_PIXELS", 2**26, "pixels in one image")
DECODED = Limit("COVALIGN_MAX_DECODED", 2**34, "bytes of decoded images")
CLASSES = Limit("COVALIGN_MAX_CLASSES", 10**6, "classes")
ROWS = Limit("COVALIGN_MAX_ROWS", 10**8, "rows")
UNPACKED = Limit("COVALIGN_MAX_UNPACKED", 2**30, "unpacked bytes beyond 100 times the file")
TENSORS = Limit("COVALIGN_MAX_TENSORS", 10**5, "tensors")
KEYS = Limit("COVALIGN_MAX_KEYS", 5000, "keys that are neither texts nor small numbers")
NODES = Limit("COVALIGN_MAX_NODES", 10**5, "nodes")
NETWORKS = Limit("COVALIGN_MAX_NETWORKS", 10**5, "networks")
FORWARD_SECONDS = Limit("COVALIGN_MAX_FORWARD_SECONDS", 20, "seconds of one core for an image")
FORWARD_BYTES = Limit("COVALIGN_MAX_FORWARD_BYTES", 2**33, "bytes in a forward pass")
PAIRS = Limit("COVALIGN_MAX_PAIRS", 10**5, "pairs of layers")
LIMITS = (
    *(PIXELS, DECODED, CLASSES, ROWS, UNPACKED, TENSORS, KEYS, NODES, NETWORKS),
    *(FORWARD_SECONDS, FORWARD_BYTES, PAIRS),
)
"""All of them."""
