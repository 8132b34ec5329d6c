"""The figures of Guth & Ménard (2024)."""
