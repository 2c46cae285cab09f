"""qimg's own simulator: a batched, differentiable statevector and density-matrix engine in PyTorch.

Nothing heavy is imported here; ask the registry for the backend ``simulator``.
"""

from __future__ import annotations

__version__ = "0.1.0"
