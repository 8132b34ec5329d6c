"""What does a safetensors file say of itself? Read without its tensors."""

import json


def metadata_of(content: bytes) -> dict[str, str]:
    """Return the texts that a safetensors file carries beside its tensors.

    Raises:
        ValueError: not such a file.
    """
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    if not isinstance(header, dict):
        raise ValueError("its header is no table")
    found = header.get("__metadata__", {})
    return dict(found)
