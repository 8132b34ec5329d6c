"""covalign: do two neural networks learn the same thing? Compare their learned weights."""
