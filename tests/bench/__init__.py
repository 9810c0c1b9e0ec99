"""The benchmark: `python -m tests.bench` prints a table; ratios within one run carry over, absolutes do not."""
