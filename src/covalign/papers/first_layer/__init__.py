"""The figures and tables of Chowers & Weiss (2022/23)."""
