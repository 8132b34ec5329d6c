"""With which other tensors does a name say that one belongs together, by a letter or a word that tells them apart?

- *factors of a product* are told apart by a and b, or by down and up: [r, c_in, ...] and [c_out, r, 1, ...], of a
  rank r of at most half of both sides, without biases. Adapters are stored so, by makers who call them otherwise
  than LoRA as well; where a file holds such pairs alone it is one, and no network.
- *matrices of a recurrent cell* are told apart by what they read, x or i (input) and h (state), or by the gate: i, f
  and o beside c or g (LSTM), r and z beside h or n (GRU).
"""

import re
from collections.abc import Iterator, Mapping

from torch import Tensor

from covalign.networks.readers.names import split

SIDES = {"a": "b", "A": "B", "down": "up"}
"""What tells the factors of a product apart: the first receives the input."""
_SIDE = re.compile(r"(?<![A-Za-z])(?:[aA]|down)(?![A-Za-z])")
_SHORT = re.compile(r"(?<![A-Za-z])[A-Za-z]{1,3}(?![A-Za-z])")
LSTM, GRU = ("ifo", "cg"), ("rz", "hn")
"""Gates that a cell has, and what else it computes as it does these."""


def partners(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the factors of products by name, each with the other; nothing where a file holds anything else."""
    matrices = {name: tensor for name, tensor in tensors.items() if tensor.ndim > 1}
    found: dict[str, str] = {}
    for name, first in matrices.items():
        for match in _SIDE.finditer(name):
            other = f"{name[: match.start()]}{SIDES[match[0]]}{name[match.end() :]}"
            if other in matrices and _multiply(first, matrices[other]):
                found |= {name: other, other: name}
    owners = {split(name)[0] for name in matrices} - {""}
    biased = any(tensor.ndim == 1 and split(name)[0] in owners for name, tensor in tensors.items())
    return found if len(found) == len(matrices) and not biased else {}


def state(name: str) -> Iterator[tuple[str, str]]:
    """Return pairs of names, of what reads the input and what reads the state, one of which is this name."""
    for place, letter in _letters(name):
        reads = [(name[:place] + each + name[place + 1 :]) for each in ("xi" if letter.islower() else "XI")]
        if letter in "xXiI":
            yield name, name[:place] + ("h" if letter.islower() else "H") + name[place + 1 :]
        elif letter in "hH":
            yield from ((other, name) for other in reads)


def gates(name: str) -> Iterator[list[str]]:
    """Return the names of the gates that make a cell together with what has this name."""
    for place, letter in _letters(name):
        for own, others in (LSTM, GRU):
            if letter.lower() in own + others:
                made = own if letter.islower() else own.upper()
                yield [name[:place] + gate + name[place + 1 :] for gate in made]


def _letters(name: str) -> Iterator[tuple[int, str]]:
    """Return the letters of short words, with their places: of a tensor's own name, or else of its module's."""
    owner, leaf = split(name)
    end = len(owner) if leaf.lower() in ("weight", "kernel") else len(name)
    start = name.rfind(".", 0, end) + 1
    for word in _SHORT.finditer(name, start, end):
        yield from ((word.start() + index, letter) for index, letter in enumerate(word[0]))


def _multiply(first: Tensor, second: Tensor) -> bool:
    """Whether [r, c, ...] and [o, r, 1, ...] make a product of a rank of at most half of both sides."""
    rank, received = first.shape[:2]
    plain = first.ndim == second.ndim and all(side == 1 for side in second.shape[2:])
    return plain and second.shape[1] == rank and 2 * rank <= min(received, len(second))
