"""Of what are trained networks samples? The encoding of a population, and new networks drawn from it."""
