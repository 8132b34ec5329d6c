"""Fast forms of what the floors above define; each has its plain form as an oracle in the tests."""
