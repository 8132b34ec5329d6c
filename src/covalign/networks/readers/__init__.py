"""How networks of any origin become readable: one file a format.

`load_network` reads everything but stored runs, which are above this room; `covalign.load_network` knows them too.
"""

from covalign.networks.readers.opening import read_network as load_network

__all__ = ["load_network"]
