"""How networks of any origin become readable: one file a format."""
