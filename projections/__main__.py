"""`python -m projections`: the projector as a process; `python -m projections projections …` works too."""

import sys

from projections.cli import app

if __name__ == "__main__":
    app(sys.argv[1:] or ["projector"])
