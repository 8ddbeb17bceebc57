"""`python -m achannels` is the command `achannels`."""

import sys

from achannels.cli import main

if __name__ == "__main__":
    sys.exit(main())

__all__: list[str] = []
