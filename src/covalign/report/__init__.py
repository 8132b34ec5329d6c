"""One self-contained page from a record."""
