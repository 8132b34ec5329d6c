"""What of a value can JSON carry?"""

import json
import math
from typing import Any


def plain_numbers(value: Any) -> Any:
    """Return ``value`` as JSON can carry it: NaN and infinities become null, NumPy numbers plain ones."""
    if isinstance(value, dict):
        return {str(key): plain_numbers(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain_numbers(entry) for entry in value]
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:  # without importing it
        return plain_numbers(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def json_bytes(value: Any) -> bytes:
    """Return ``value`` as JSON text, non-finite numbers as null."""
    return json.dumps(plain_numbers(value), allow_nan=False, indent=1, default=str).encode()
