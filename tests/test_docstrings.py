"""Every public name shows how it is used, and what is mathematics says what it computes, in what, and from where.

The rule, which `lacks` applies:

- A function is called in a doctest of its own docstring, which shows what comes back, or in a script of
  ``docs/examples``, all of which tests run.
- A class is called so itself (an error is caught), or a public function that returns it is called, and the example
  reads one of the class's own attributes.
- What is at home in the rooms of mathematics states a formula, shapes, units and a source; a function there states
  its errors as well, a record the shape of every tensor that it holds.
"""

import ast
import doctest
import inspect
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from jaxtyping import Float64
from torch import Tensor

import covalign

EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"
MATHEMATICS = ("covalign.encoding.", "covalign.first_layer.")
VALUES = {"__version__"}
"""Names that are neither functions nor classes, and have no docstring."""

STATES = {
    "a formula": r"(?m)^(?!\s*(>>>|\.\.\.)).* = ",
    "a shape": r"``\[[^`\]]*\]``|floats?\b",
    "a unit": r"units? of|\bin \[-?\d, \d\]|radians|no unit|[Uu]nitless|scale",
    "a source": r"(?s)References:\n.*\b(1[89]|20)\d\d\b",
}


class Uses(NamedTuple):
    """What a piece of code calls or catches, and which attributes it reads."""

    calls: frozenset[str]
    reads: frozenset[str]

    @classmethod
    def of(cls, source: str) -> "Uses":
        nodes = list(ast.walk(ast.parse(source)))
        calls = {called(node.func) for node in nodes if isinstance(node, ast.Call)}
        caught = {getattr(node.type, "id", "") for node in nodes if isinstance(node, ast.ExceptHandler)}
        reads = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        return cls(frozenset(calls | caught), frozenset(reads))


def called(what: ast.expr) -> str:
    """The name that is called, as in `train(...)` or `FilterBank.of(...)`; the method of a value has none."""
    if isinstance(what, ast.Attribute) and isinstance(what.value, ast.Name):
        return what.value.id if what.value.id[:1].isupper() else ""
    return what.id if isinstance(what, ast.Name) else ""


GALLERY = [Uses.of(path.read_text(encoding="utf-8")) for path in sorted(EXAMPLES.glob("*.py"))]
PUBLIC = {name: getattr(covalign, name) for name in covalign.__all__ if name not in VALUES}


def shown(name: str, thing: object, gallery: list[Uses]) -> list[Uses]:
    """The examples in which a name is called: scripts, and its own doctest where that shows what comes back."""
    steps = doctest.DocTestParser().get_examples(inspect.getdoc(thing) or "")
    own = [Uses.of("\n".join(step.source for step in steps))] if any(step.want for step in steps) else []
    return [uses for uses in (*own, *gallery) if name in uses.calls]


def lacks(name: str, public: dict[str, object], gallery: list[Uses], home: str) -> list[str]:
    """What the rule asks of a public name that it does not have."""
    thing = public[name]
    text = inspect.getdoc(thing) or ""
    if not text:
        return ["a docstring"]
    examples = shown(name, thing, gallery)
    if inspect.isclass(thing) and not examples:
        makers = {other: maker for other, maker in public.items() if returns(maker) is thing}
        held = {each for each in (*vars(thing), *thing.__annotations__) if not each.startswith("_")}
        found = [uses for other, maker in makers.items() for uses in shown(other, maker, gallery)]
        examples = [uses for uses in found if uses.reads & held]
    missing = [] if examples else ["an example"]
    if home.startswith(MATHEMATICS):
        asked = {"a source": STATES["a source"]} if inspect.isclass(thing) else STATES
        missing += [what for what, pattern in asked.items() if not re.search(pattern, text)]
        if inspect.isclass(thing):
            missing += [f"the shape of {field}" for field in without_shape(thing, text)]
        elif "Raises:\n" not in text:
            missing.append("its errors")
    return missing


def returns(thing: object) -> object:
    """The class that a function returns."""
    if inspect.isclass(thing) or not callable(thing):
        return None
    return thing.__annotations__.get("return")


def without_shape(record: type, text: str) -> list[str]:
    """Tensors of a record whose line in its docstring has no shape."""
    held = [name for name, kind in record.__annotations__.items() if "Tensor" in str(kind)]
    lines = {name: re.search(rf"(?ms)^ *{name}: (.*?)(?=^ {{4}}\w+: |\Z)", text) for name in held}
    return [name for name, found in lines.items() if not (found and re.search(r"``\[.*?\]``", found[1]))]


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_says_what_it_does_and_shows_how(name):
    assert not lacks(name, PUBLIC, GALLERY, PUBLIC[name].__module__)


def test_only_values_are_spared():
    assert not [name for name in VALUES if callable(getattr(covalign, name))]


PROPER = """Average.

    mean = (1/n) sum_i x_i, in units of x

    Args:
        values: x ``[n]``.

    Raises:
        InputError: none.

    Example:
        >>> average([1.0, 3.0])
        2.0

    References:
        Gauss, "Theoria combinationis", 1823.
"""


def written(text: str, name: str = "average") -> object:
    """A function with this docstring."""

    def function() -> float:
        return 0.0

    function.__name__, function.__doc__ = name, text
    return function


@pytest.mark.parametrize(
    ("said", "instead", "missing"),
    [
        ("", "", []),
        ("        >>> average([1.0, 3.0])\n        2.0\n", "        Of 1 and 3 it is 2.\n", ["an example"]),
        ("        2.0\n", "", ["an example"]),
        ("average([1.0, 3.0])", "sum([1.0, 3.0]) / 2", ["an example"]),
        ("average([1.0, 3.0])", "numbers.average([1.0, 3.0])", ["an example"]),
        ("mean = (1/n) sum_i x_i", "the mean", ["a formula"]),
        ("``[n]``", "numbers", ["a shape"]),
        (", in units of x", "", ["a unit"]),
        ("Raises:", "Fails:", ["its errors"]),
        (", 1823", "", ["a source"]),
        ("References:", "After", ["a source"]),
        (PROPER, "", ["a docstring"]),
    ],
)
def test_what_a_docstring_lacks_is_found(said, instead, missing):
    text = PROPER.replace(said, instead) if said else PROPER
    assert lacks("average", {"average": written(text)}, [], "covalign.encoding.average") == missing


def test_a_script_that_calls_a_name_is_its_example():
    text = PROPER[: PROPER.index("    Example:")] + PROPER[PROPER.index("    References:") :]
    public = {"average": written(text)}
    assert lacks("average", public, [Uses.of("average([1.0])")], "covalign.encoding.a") == []
    assert lacks("average", public, [Uses.of("import average")], "covalign.encoding.a") == ["an example"]


class Mean:
    """A mean.

    Attributes:
        value: ``[d]``.
        spread: of the numbers.

    References:
        Gauss, 1823.
    """

    value: Float64[Tensor, " d"]
    spread: Float64[Tensor, " d"]


def test_what_a_record_lacks_is_found():
    def average() -> Mean:
        """Average.

        Example:
            >>> average().value
            2.0
        """

    home = "covalign.encoding.a"
    assert lacks("Mean", {"Mean": Mean, "average": average}, [], home) == ["the shape of spread"]
    average.__doc__ = average.__doc__.replace(".value", "")
    assert lacks("Mean", {"Mean": Mean, "average": average}, [], home) == [
        "an example",
        "the shape of spread",
    ]
    assert lacks("Mean", {"Mean": Mean}, [Uses.of("average().value")], "covalign.studies.a") == ["an example"]
