"""Speed as ratios against named peers in one run; never part of the tests. See docs/reference/benchmarks.md.

`workloads` says what is measured, `engines` how each engine does it, `reference` what is right, `measure` takes the
times. A new engine is a class in `engines`, a line in its table, and its name in a case.
"""
