"""The reference distribution of the SHAP-like methods."""

from __future__ import annotations

import torch
from torch import Tensor

from sidelight.core.seeds import stream
from sidelight.lab.baselines.base import Job


def reference_inputs(job: Job, count: int, seed: int) -> dict[str, Tensor]:
    """References to compare every sample with, per modality ``[R, B, ...]``.

    If the target has a bank of inputs (``target.reference`` for every modality, of the samples' shape), the
    references are its rows. All are taken if there are at most ``count``, else ``seed`` draws ``count`` of them.
    Every sample and every modality gets the same rows.

    Without a bank the first reference is zero. The others are Gaussian noise with the standard deviation of the
    sample's own real features, from the sample's own stream.
    """
    banks = {name: job.target.reference.get(name) for name in job.features}
    if all(b is not None and len(b) and b.shape[1:] == job.features[n].shape[1:] for n, b in banks.items()):
        usable = {name: bank for name, bank in banks.items() if bank is not None}
        rows = _rows(min(len(b) for b in usable.values()), count, seed)
        return {
            name: bank[rows].to(job.features[name]).unsqueeze(1).expand(-1, job.size, *bank.shape[1:])
            for name, bank in usable.items()
        }
    return _noise(job, count, seed)


def _rows(available: int, count: int, seed: int) -> Tensor:
    if available <= count:
        return torch.arange(available)
    return torch.randperm(available, generator=stream(seed, 0, 7))[:count]


def _noise(job: Job, count: int, seed: int) -> dict[str, Tensor]:
    real = job.target.feature_mask(job.inputs)
    streams = [stream(seed, i, 8) for i in job.ids]
    out = {}
    for name, x in job.features.items():
        mask = job.target.modalities[name].expand(real[name]).expand_as(x)
        # padding would shrink the spread, and make it depend on the longest text of the batch
        spread = torch.stack([_std(x[i][mask[i]]) for i in range(job.size)])
        noise = torch.stack(
            [torch.randn((count, *x.shape[1:]), generator=g, dtype=torch.float32) for g in streams], dim=1
        ).to(x) * spread.view(1, -1, *[1] * (x.ndim - 1))
        noise[0] = 0
        out[name] = noise
    return out


def _std(values: Tensor) -> Tensor:
    return values.std() if values.numel() > 1 else values.new_ones(())
