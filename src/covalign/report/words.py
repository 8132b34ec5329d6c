"""How are numbers and amounts put into words?"""


def number(value: float) -> str:
    """Return a number as the text prints it: two digits, a true minus sign."""
    return f"{value:.2f}".replace("-", "\u2212")


def count(amount: int, noun: str, plural: str | None = None) -> str:
    """Return an amount with its noun, in the right number."""
    return f"{amount:,} {noun if amount == 1 else plural or noun + 's'}"
