"""Perceptual fingerprints of images, and the look-up of their neighbours in a ledger."""
