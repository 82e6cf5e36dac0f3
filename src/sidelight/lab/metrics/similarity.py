"""How alike are two maps of one input? Pure functions on batches of pairs.

``real`` marks the features that count. A pair gets NaN if either map is not finite.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import rankdata
from torch import Tensor

from sidelight.errors import InputError

#: window of SSIM: standard deviation in pixels, and side (Wang et al. 2004)
SIGMA, WINDOW = 1.5, 11


def spearman(a: Tensor, b: Tensor, real: Tensor | None = None) -> Tensor:
    """Spearman's rank correlation, tied features sharing their mean rank.

    Args:
        a, b: ``[B, N]`` scores of any sign.
        real: ``[B, N]`` bool, default all true.

    Returns:
        ``[B]`` float64 in [−1, 1]. Two constant maps are equal and get 1. A pair of a constant map and another
        gets NaN, because a constant map has no order.
    """
    a, b, real = _pair(a, b, real)
    found = [
        _rank_correlation(x[keep].double().numpy(), y[keep].double().numpy())
        for x, y, keep in zip(a, b, real, strict=True)
    ]
    return torch.tensor(found, dtype=torch.float64)


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return np.nan
    u, v = rankdata(a), rankdata(b)
    u, v = u - u.mean(), v - v.mean()
    scale = np.sqrt((u @ u) * (v @ v))
    if scale > 0:
        return float(u @ v / scale)
    return np.nan if u.any() or v.any() else 1.0


def top_overlap(a: Tensor, b: Tensor, real: Tensor | None = None, share: float = 0.1) -> Tensor:
    """Overlap of the top features of two maps: ``|A ∩ B| / k``, with ``k`` the number of features times ``share``.

    Features tied for the last places hold equal parts of them. So membership is a weight ``w`` in [0, 1], and the
    overlap is ``Σ w_a w_b / sqrt(Σ w_a² · Σ w_b²)``. Without ties this is the fraction above. Two unrelated orders
    get about ``share``.

    Args:
        a, b: ``[B, N]`` scores of any sign.
        real: ``[B, N]`` bool, default all true.
        share: in (0, 1]. At least one feature counts.

    Returns:
        ``[B]`` float64 in [0, 1].
    """
    if not 0 < share <= 1:
        raise InputError(f"share must lie in (0, 1]; got {share}.")
    a, b, real = _pair(a, b, real)
    u, v = _membership(a, real, share), _membership(b, real, share)
    scale = (u.square().sum(1) * v.square().sum(1)).sqrt()
    # rounding must not make a map differ from itself
    overlap = ((u * v).sum(1) / scale).clamp(max=1.0)
    return torch.where((u == v).all(1), torch.ones_like(overlap), overlap)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of maps in [0, 1] (Wang et al. 2004): Gaussian window of 11 pixels, sigma 1.5.

    Only windows that lie inside the map count. Maps smaller than the window get the largest odd one that fits.

    Args:
        a, b: ``[B, H, W]``, at least 3 pixels a side.

    Returns:
        ``[B]`` float64, at most 1.
    """
    side = min(WINDOW, *a.shape[-2:])
    side -= 1 - side % 2
    if a.shape != b.shape or a.ndim != 3 or side < 3:
        raise InputError(
            f"SSIM compares maps [B, H, W] of one shape, 3 pixels a side or more; got {tuple(a.shape)} "
            f"and {tuple(b.shape)}."
        )
    t = torch.arange(side, dtype=torch.float64) - side // 2
    line = torch.exp(-0.5 * (t / SIGMA) ** 2)
    window = torch.outer(line, line)[None, None] / line.sum() ** 2
    x, y = (m.detach().cpu().double()[:, None] for m in (a, b))
    mean_x, mean_y, xx, yy, xy = (F.conv2d(m, window) for m in (x, y, x * x, y * y, x * y))
    var_x, var_y, cov = xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    above = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    below = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    return (above / below).mean((1, 2, 3))


def _pair(a: Tensor, b: Tensor, real: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    if a.shape != b.shape or a.ndim != 2:
        raise InputError(f"two maps must share one shape [B, N]; got {tuple(a.shape)} and {tuple(b.shape)}.")
    real = torch.ones_like(a, dtype=torch.bool) if real is None else real
    if not bool(real.any(1).all()):
        raise InputError("a sample has no real feature to compare.")
    return a.detach().cpu(), b.detach().cpu(), real.cpu()


def _membership(scores: Tensor, real: Tensor, share: float) -> Tensor:
    """``[B, N]`` weight of each feature in the top ``share``: 1, 0, or its part of the places that it ties for."""
    values = scores.double().masked_fill(~real, -torch.inf)
    k = (share * real.sum(1).double() + 0.5).floor().clamp(min=1).long()
    last = values.sort(1, descending=True).values.gather(1, k[:, None] - 1)
    above, tied = (values > last) & real, (values == last) & real
    part = (k - above.sum(1)).double() / tied.sum(1).clamp(min=1)
    weights = above.double() + tied * part[:, None]
    finite = torch.isfinite(scores).logical_or(~real).all(1, keepdim=True)
    return weights.masked_fill(~finite, torch.nan)
