"""`python -m covalign.cli`."""

from covalign.cli.app import main

main()
