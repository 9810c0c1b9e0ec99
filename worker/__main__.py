"""`python -m worker`: the worker as a process."""

from worker.cli import app

if __name__ == "__main__":
    app()
