"""Many pieces of work that share nothing, carried out here, in processes beside this one, or on a cluster."""
