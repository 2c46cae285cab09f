"""Image metrics: each is a function that returns an `Estimate` with its interval and its N.

Frechet distance, unbiased KID, precision/recall/density/coverage, asked-class accuracy and memorisation. Nothing is
imported here, so that asking for one metric loads only that one.
"""
