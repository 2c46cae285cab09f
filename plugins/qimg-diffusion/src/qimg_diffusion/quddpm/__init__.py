"""Diffusion of states: scrambling forward, measured ancillas backward (Zhang et al., arXiv:2310.05866)."""
