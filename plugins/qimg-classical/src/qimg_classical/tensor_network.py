"""Matrix product states as Born machines, one for each class: P(v | c) = psi(c, v)^2 / Z(c) (torch, numpy).

    psi(c, v) = first[c] A[0, c, v_0] A[1, c, v_1] ... A[N-1, c, v_{N-1}] last[c]

over strings v of N levels, with real matrices A[k, c, s] (bond x bond); after Han, Wang, Fan, Wang and Zhang, Phys.
Rev. X 8, 031012 (2018). The law is that of a quantum state's measurement and all of it is classical: likelihood,
normalisation and sampling are exact and cost N * levels * bond^3. The bond bounds the entanglement that the state could
have: log2(bond) across any cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Labels = npt.NDArray[np.int64]


class ProductStates(torch.nn.Module):
    """The tensors of all classes.

    Args:
        sites: numbers in a string.
        levels: values that each can have.
        bond: size of the matrices.
        classes: states.
        spread: of the noise about the identity that the matrices begin with: at first all strings are nearly alike.
    """

    def __init__(self, *, sites: int, levels: int, bond: int, classes: int, spread: float = 0.1) -> None:
        super().__init__()
        scale = bond**-0.5
        noise = torch.randn(sites, classes, levels, bond, bond) * spread * scale
        self.sites = torch.nn.Parameter((torch.eye(bond) + noise) * levels**-0.5)
        self.first = torch.nn.Parameter(torch.randn(classes, bond) * scale)
        self.last = torch.nn.Parameter(torch.randn(classes, bond) * scale)

    def log_weights(self, strings: torch.Tensor) -> torch.Tensor:
        """Logarithms of psi(c, v)^2 of strings (classes, n, sites) int64, row c those of class c; (classes, n)."""
        classes, n, _ = strings.shape
        rows, columns = torch.arange(classes)[:, None], torch.arange(n)
        left, log = self.first[:, None].expand(-1, n, -1), self.first.new_zeros(classes, n)
        for k, site in enumerate(self.sites.unbind(0)):
            _, levels, bond, _ = site.shape
            every = left @ site.permute(0, 2, 1, 3).reshape(classes, bond, -1)  # all levels, then the string's own
            left = every.view(classes, n, levels, bond)[rows, columns, strings[:, :, k]]
            size = left.norm(dim=2, keepdim=True).clamp(min=1e-30)
            left, log = left / size, log + 2 * size[:, :, 0].log()
        return log + (left @ self.last[:, :, None])[:, :, 0].square().clamp(min=1e-30).log()

    def log_norms(self) -> torch.Tensor:
        """Logarithms of Z(c); (classes,)."""
        right, log = self.last[:, :, None] * self.last[:, None], self.last.new_zeros(len(self.last))
        for site in reversed(self.sites.unbind(0)):
            right = (site @ right[:, None] @ site.transpose(2, 3)).sum(1)
            size = right.diagonal(dim1=1, dim2=2).sum(1).clamp(min=1e-30)
            right, log = right / size[:, None, None], log + size.log()
        whole = (self.first[:, None] @ right @ self.first[:, :, None])[:, 0, 0]
        return log + whole.clamp(min=1e-30).log()

    def log_likelihood(self, strings: torch.Tensor) -> torch.Tensor:
        """Logarithms of P(v | c) in nats, of strings (classes, n, sites), row c those of class c; (classes, n)."""
        out: torch.Tensor = self.log_weights(strings) - self.log_norms()[:, None]
        return out


def sampled(sites: Any, first: Any, last: Any, labels: Labels, fractions: Floats) -> Labels:
    """Exact draws: site after site, each from its law given those before; in float64.

    Args:
        sites: (sites, classes, levels, bond, bond).
        first: (classes, bond).
        last: (classes, bond).
        labels: (n,) class of each string.
        fractions: (n, sites) uniform numbers in [0, 1); each decides one site by the inverse of its law.

    Returns:
        (n, sites) levels.
    """
    sites, first, last = (np.asarray(a, dtype=np.float64) for a in (sites, first, last))
    n, (length, _, levels) = len(labels), sites.shape[:3]
    rights = [last[:, :, None] * last[:, None]]
    for site in sites[:0:-1]:
        right = (site @ rights[-1][:, None] @ site.transpose(0, 1, 3, 2)).sum(1)
        rights.append(right / np.maximum(np.trace(right, axis1=1, axis2=2), 1e-300)[:, None, None])
    left, out = first[labels], np.empty((n, length), dtype=np.int64)
    for k, (site, right) in enumerate(zip(sites, reversed(rights), strict=True)):
        after = (left[:, None, None] @ site[labels])[:, :, 0]
        law = np.maximum(((after @ right[labels]) * after).sum(2), 0).cumsum(1)
        out[:, k] = np.minimum((law <= fractions[:, k, None] * law[:, -1:]).sum(1), levels - 1)
        left = after[np.arange(n), out[:, k]]
        left /= np.maximum(np.linalg.norm(left, axis=1, keepdims=True), 1e-300)
    return out
