"""Benchmarks: ratios against a reference in the same run. `make bench` runs all of them."""
