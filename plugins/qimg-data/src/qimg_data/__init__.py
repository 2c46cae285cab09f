"""Data governance for qimg: manifests, consent, trust zones, tokens, opt-out, checks of a dataset."""
