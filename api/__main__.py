"""`python -m api`: the HTTP API as a process; `python -m api up` and every other command work too."""

import sys

from api.cli import app

if __name__ == "__main__":
    app(sys.argv[1:] or ["api"])
