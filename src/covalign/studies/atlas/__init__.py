"""Which conditions teach the same, layer by layer: a map of a whole population."""
