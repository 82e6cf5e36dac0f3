"""The passes through the target: many masks of one batch, each evaluated once, in large chunks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from sidelight.core.finite import require_finite_logits
from sidelight.core.registry import Registry
from sidelight.core.seeds import one_each
from sidelight.core.tensors import both_ways, decisions, predictable, probabilities
from sidelight.core.types import Encoding, Inputs, Scores, take_rows
from sidelight.errors import ConfigError, NotFiniteError
from sidelight.lab.metrics.layout import Layout
from sidelight.targets.base import TargetModel

#: ``([B, K] float32 logits, whether labels are independent) -> [B, K]``: how sure a model is of each class, by name.
CONFIDENCES: Registry[Callable[[Tensor, bool], Tensor]] = Registry("confidence")
CONFIDENCES.add("probability", probabilities)
CONFIDENCES.add("logit", lambda logits, independent: both_ways(logits))


def clean_pass(target: TargetModel, inputs: Inputs, ids: Sequence[int]) -> Encoding:
    """The clean pass of ``inputs``, which are checked before; messages call the samples by ``ids``.

    Raises:
        InputError: ``inputs`` are not what the target takes.
        NotFiniteError: the model's output holds NaN or infinity.
    """
    target.check(inputs)
    try:
        return target.encode(inputs)
    except NotFiniteError as error:
        raise error.numbered(list(ids)) from None


class Probe:
    """Measures a target's confidence in its own prediction under masks of one batch.

    The clean pass, the values of each fill and the pass with everything removed are made once. All methods that
    are evaluated on the batch share them.

    Args:
        target: the frozen model.
        inputs: its inputs, ``B`` samples.
        seeds: one integer per sample, for random fills.
        forward_batch: masked copies that go through the target together.
        confidence: a name in :data:`CONFIDENCES`.
        ids: the samples' names in messages (default: their place in the batch).
        encoding: the clean pass of ``inputs``, if it was made already. They are not checked again then.
        classes: ``[B]`` class that the confidence is in (default: the one predicted on the clean input). A judge is
            asked about the class that the target predicts.

    Attributes:
        encoding: the clean pass.
        size: B.
        classes: ``[B]`` class that the confidence is in.
        clean: ``[B]`` its probability (or other confidence) for the clean input.

    Raises:
        InputError: ``inputs`` are not what the target takes, or seeds do not fit them.
        NotFiniteError: the model's output holds NaN or infinity, here or under a mask later.
        ConfigError: ``forward_batch`` below 1.
    """

    def __init__(
        self,
        target: TargetModel,
        inputs: Inputs,
        seeds: Sequence[int],
        forward_batch: int = 128,
        confidence: str = "probability",
        ids: Sequence[int] | None = None,
        encoding: Encoding | None = None,
        classes: Tensor | None = None,
    ) -> None:
        if forward_batch < 1:
            raise ConfigError(f"forward_batch must be at least 1; got {forward_batch}.")
        self.target, self.inputs = target, target.to_device(inputs)
        self.seeds, self.forward_batch = list(seeds), forward_batch
        self._sure = CONFIDENCES[confidence]
        self._fills: dict[str, dict[str, Tensor]] = {}
        self._empty: dict[tuple[str, tuple[str, ...]], Tensor] = {}
        self._changes: dict[tuple[str, tuple[str, ...]], Tensor] = {}
        self._ids = list(range(len(self.seeds)) if ids is None else ids)
        self.encoding = clean_pass(target, self.inputs, self._ids) if encoding is None else encoding
        self._unmasked = target.unmasked(self.inputs, self.encoding)
        self.feature_mask = self._unmasked.feature_mask
        self.size = len(self.encoding.logits)
        one_each(self.seeds, self.size, "seeds")
        self._independent = self.encoding.independent
        sure = self._sure(self.encoding.logits.float(), self._independent)
        predicted = predictable(sure, self._independent).max(-1).indices
        self.classes = predicted if classes is None else classes.to(sure.device)
        self.clean = sure.gather(1, self.classes[:, None]).squeeze(1)
        clean = self.encoding.logits
        self._verdicts = self._decided(clean, self.classes) if self._independent else self.classes

    def _require_finite(self, logits: Tensor, samples: Sequence[int], where: str = "") -> None:
        try:
            require_finite_logits(logits, where)
        except NotFiniteError as error:
            raise error.numbered([self._ids[i] for i in samples]) from None

    def _take(self, tensors: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
        return take_rows(tensors, rows, self.size)

    def fill(self, name: str) -> dict[str, Tensor]:
        """Values of the fill ``name``, computed on first use."""
        if name not in self._fills:
            features = self._unmasked.features
            self._fills[name] = self.target.fill_values(self.inputs, name, self.seeds, features)
        return self._fills[name]

    def changes(self, fill: str, layout: Layout) -> Tensor:
        """``[B, N]`` true for real features that a removal changes. Black pixels on black, for example, stay as they are."""
        key = (fill, tuple(layout.shapes))
        if key not in self._changes:
            parts = {name: self._changed(name, self.fill(fill)[name]) for name in layout.shapes}
            self._changes[key] = layout.flatten(parts) & layout.real
        return self._changes[key]

    def _changed(self, name: str, values: Tensor) -> Tensor:
        mask = self.feature_mask[name]
        if type(values) is not Tensor:  # a marked fill, which does more than put values in place
            return torch.ones_like(mask)
        features, modality = self._unmasked.features[name], self.target.modalities[name]
        differs = features != values.to(features.dtype)
        return modality.reduce_norm(differs.float().expand_as(features)).view_as(mask) > 0

    @torch.no_grad()
    def confidence(self, fill: str, rows: Tensor, masks: Callable[[slice], Scores]) -> Tensor:
        """Confidence in the clean prediction for ``R`` masked copies, and whether it is still the prediction.

        Args:
            fill: name of the fill for removed features.
            rows: ``[R]`` the sample of each copy.
            masks: gives the scores of a slice of the copies. It is called chunk by chunk, so the masks of a whole
                run never exist at the same time.

        Returns:
            ``[R, 2]`` float32: the confidence, in [0, 1] if it is a probability, and 1 if the clean prediction is still
            the most probable class, else 0. Of independent labels: if the label is still said to be there, or not.
        """
        values = self.fill(fill)
        out = torch.empty(len(rows), 2, device=self.clean.device)
        with self.target.borrowed():
            for start in range(0, len(rows), self.forward_batch):
                part = slice(start, start + self.forward_batch)
                chunk = rows[part]
                logits = self.target.classify(
                    self._take(self.inputs, chunk),
                    masks(part),
                    self._take(values, chunk),
                    unmasked=self._unmasked.rows(chunk, self.size),
                )
                self._require_finite(logits, chunk.tolist(), f"of an input masked under fill {fill!r}")
                sure, asked = self._sure(logits.float(), self._independent), self.classes[chunk]
                out[part, 0] = sure.gather(1, asked[:, None]).squeeze(1)
                out[part, 1] = (self._decided(logits, asked) == self._verdicts[chunk]).float()
        return out

    def _decided(self, logits: Tensor, classes: Tensor) -> Tensor:
        return decisions(logits, classes, self._independent)

    def under_map(self, fill: str, layout: Layout, soft: Tensor) -> Tensor:
        """``[B]`` confidence under the soft map ``[B, N]``. Unreal features stay."""
        scores = soft.masked_fill(~layout.real, 1.0)
        rows = torch.arange(len(soft), device=soft.device)
        return self.confidence(fill, rows, lambda part: layout.unflatten(scores[part]))[:, 0]

    def empty(self, fill: str, layout: Layout) -> Tensor:
        """``[B, 2]`` as :meth:`confidence`, with every real feature of the layout's modalities removed."""
        key = (fill, tuple(layout.shapes))
        if key not in self._empty:
            nothing = (~layout.real).float()
            rows = torch.arange(len(nothing), device=nothing.device)
            self._empty[key] = self.confidence(fill, rows, lambda part: layout.unflatten(nothing[part]))
        return self._empty[key]

    def curves(
        self, fill: str, layout: Layout, ranks: Sequence[Tensor], counts: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Confidence with the top cells removed, and with the top cells alone, and whether the first keeps the verdict.

        A masked input that occurs twice (a count shared by two grids, a short text with fewer cells than steps, cells
        that equal their fill) is evaluated once. So flat parts of curves cost nothing. If nothing is removed, the clean
        pass serves. If everything is removed, :meth:`empty` does.

        Args:
            fill: name of the fill for removed features.
            ranks: for each tie draw ``[B, M]``, the place of every cell.
            counts: ``[B, P]`` number of top cells, 0 to the sample's number of cells.

        Returns:
            ``(removed, kept, verdict)``, each ``[B, P]``, averaged over the draws. ``verdict`` is 1 if the clean
            prediction is still the most probable class with the top cells removed.
        """
        # half the bytes of int64: comparing places is most of the work beside a small target
        places = torch.cat([layout.spread(rank) for rank in ranks]).int()  # [copies, N], copies = draws · B
        changed = layout.any_of(self.changes(fill, layout)).long()
        total = layout.real_cells.sum(1, keepdim=True)
        count = torch.cat([_fewest(changed, rank, counts, total) for rank in ranks])
        copy = torch.arange(len(count), device=count.device)[:, None].expand_as(count)
        asked = [torch.stack([copy, count, torch.full_like(count, kept)], -1) for kept in (0, 1)]
        table, row = _distinct(torch.stack(asked).flatten(0, 2))
        found = self._rows(fill, layout, places, table)[row]
        removed, alone = found.view(2, len(ranks), *counts.shape, 2).mean(1)
        return removed[..., 0], alone[..., 0], removed[..., 1]

    def _rows(self, fill: str, layout: Layout, places: Tensor, table: Tensor) -> Tensor:
        """``[R, 2]`` as :meth:`confidence`, for each row ``(copy, count, kept)`` of ``table``.

        The top ``count`` cells of a copy stay alone if ``kept`` is 1, and are removed if it is 0.
        """
        copy, count, kept = table.unbind(1)
        sample = copy % self.size
        total = layout.real_cells.sum(1)[sample]
        left = torch.where(kept == 1, count, total - count)
        whole = torch.stack([self.clean, torch.ones_like(self.clean)], 1)
        p = torch.where((left == total)[:, None], whole[sample], self.empty(fill, layout)[sample])
        partial = (left > 0) & (left < total)
        # texts of like length go through the model together, because the longest one sets the width of a pass
        order = layout.real.sum(1)[sample[partial]].argsort(stable=True)
        todo, unreal = table[partial][order], ~layout.real

        def masks(part: slice) -> Scores:
            copy, count, kept = todo[part].unbind(1)
            top = places.index_select(0, copy) < count.int()[:, None]
            keep = (top == kept.bool()[:, None]) | unreal.index_select(0, copy % self.size)
            return layout.unflatten(keep.float())

        rows = partial.nonzero().squeeze(1)[order]
        p[rows] = self.confidence(fill, sample[rows], masks)
        return p


def _fewest(changed: Tensor, rank: Tensor, counts: Tensor, total: Tensor) -> Tensor:
    """``[B, P]`` the smallest numbers of top cells that make the same masked inputs as ``counts``.

    Args:
        changed: ``[B, M]`` 1 for cells that a removal changes, else 0.
        rank: ``[B, M]`` place of every cell.
        total: ``[B, 1]`` cells of each sample.
    """
    # how many cells that a removal changes are among the top 0, 1, ..., M
    among = torch.zeros_like(rank).scatter_(1, rank, changed).cumsum(1)
    among = torch.nn.functional.pad(among, (1, 0))
    asked = among.gather(1, counts)
    everything = (asked == among[:, -1:]) & (asked > 0)
    return torch.where(everything, total, torch.searchsorted(among, asked))


def _distinct(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct rows of ``[R, C]`` counting numbers, in order, and the place of each row among them.

    It equals ``rows.unique(dim=0, return_inverse=True)``, which takes fifty times as long.
    """
    code = rows[:, 0]
    for column in rows.T[1:]:
        code = code * (column.max() + 1) + column
    found, inverse = code.unique(return_inverse=True)
    some = torch.empty_like(found).scatter_(0, inverse, torch.arange(len(rows), device=rows.device))
    return rows[some], inverse
