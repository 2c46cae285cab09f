"""Speed as ratios against a named peer in one run. Never part of the tests."""
