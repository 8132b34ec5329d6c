"""The sizes at which exhibits are reproduced."""
