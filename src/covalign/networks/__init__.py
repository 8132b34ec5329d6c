"""Networks as named, readable layers."""
