"""Benchmarks: `make bench`, or `python -m benchmarks`. Sides run in turn, and are compared as ratios of medians."""
