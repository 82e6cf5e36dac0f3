"""Maps that another program made, as one more method of the benchmark."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from sidelight.core.types import Inputs, Scores
from sidelight.errors import ConfigError, InputError
from sidelight.lab.config.sections import EvaluationSection, ImportedSection, RunConfig
from sidelight.lab.evaluation.map_files import file_hash, read_maps
from sidelight.targets.base import TargetModel

log = logging.getLogger(__name__)

#: what an id is, for messages
IDS = (
    "An id is the place of a sample among the rows that are evaluated, counted from 0 (column 'sample' of scores.parquet). "
    "They are run.tested_rows(run.config.evaluation.count): drawn at random, if these are fewer than the split has."
)


class ImportedMaps:
    """The maps in a file (format: :mod:`sidelight.lab.evaluation.map_files`) behind the protocol of a method.

    Args:
        name: of the method in tables.
        path: ``.npz`` or ``.parquet``.
        signed: whether scores below 0 are evidence against the class (default: as :func:`read_maps` finds).

    Raises:
        InputError: the file cannot be used.
    """

    def __init__(self, name: str, path: str | Path, signed: bool | None = None) -> None:
        self.name, self.path = name, Path(path)
        self.file = read_maps(path, signed)
        self.signed = self.file.signed
        #: keeps an evaluation from mixing rows of two versions of a file
        self.fingerprint = file_hash(path)

    @property
    def slug(self) -> str:
        """Name of the folder of measurements: another content gets another folder."""
        return f"{self.name}-{self.fingerprint[:12]}"

    def require(self, ids: Sequence[int], modalities: Iterable[str]) -> None:
        """Raise :class:`InputError` if a sample or a modality has no map."""
        for modality in modalities:
            if modality not in self.file.maps:
                raise InputError(
                    f"{self.path} has no maps of {modality!r}, which the target reads; "
                    f"it has {', '.join(self.file.maps)}."
                )
            missing = [i for i in ids if i not in self.file.maps[modality]]
            if missing:
                raise InputError(
                    f"{self.path} has no map of {modality!r} for {len(missing)} of {len(ids)} sample(s): ids "
                    f"{missing[:8]}. {IDS}"
                )

    def warn_of_others(self, count: int) -> None:
        """Warn of ids beyond the ``count`` rows that are evaluated: they may be numbers of rows of the whole split."""
        beyond = [i for i in self.file.ids if i >= count]
        if beyond:
            log.warning(
                f"{self.path} has maps of ids up to {beyond[-1]}, and {count} samples are evaluated, 0 to {count - 1}. If "
                f"its ids are numbers of the rows of the whole split, its maps are judged on other samples. {IDS}"
            )

    def __call__(
        self, target: TargetModel, inputs: Inputs, classes: Tensor, ids: Sequence[int] | None = None
    ) -> Scores:
        """The stored maps of ``ids``, laid on the target's features. ``classes`` play no part.

        Raises:
            InputError: there are no ids, or a map is missing or does not fit its sample.
        """
        if ids is None:
            raise InputError("imported maps are found by the ids of the samples: pass ids=[...].")
        self.require(ids, target.modalities)
        return {
            modality: torch.stack(
                [self._lay(modality, i, own) for i, own in zip(ids, mask.cpu(), strict=True)]
            ).to(mask.device)
            for modality, mask in target.feature_mask(inputs).items()
        }

    def _lay(self, modality: str, sample: int, real: Tensor) -> Tensor:
        """The map of one sample as scores of the shape of ``real``. Positions without a feature get 0."""
        values = self.file.maps[modality][sample]
        shape = tuple(real.shape[1:] if real.ndim == 3 else real.shape)
        count = int(real.sum())
        if values.size != count or (values.ndim > 1 and values.shape != shape):
            given, wanted = (
                "×".join(map(str, s)) for s in (values.shape, shape if real.ndim == 3 else (count,))
            )
            raise InputError(
                f"{self.path}: the map of {modality!r} for id {sample} has {given} scores; this sample has {wanted} "
                "features (pixels as the target sees them; tokens without special tokens and padding)."
            )
        scores = torch.zeros(real.shape, dtype=torch.float32)
        scores[real] = torch.tensor(values.reshape(-1))
        return scores


def imported_of(section: EvaluationSection, taken: Iterable[str]) -> list[ImportedMaps]:
    """The imported maps of a configuration, read from their files.

    Args:
        section: its ``imported`` list.

    Raises:
        ConfigError: a name is taken.
        InputError: a file cannot be used.
    """
    names = list(taken)
    found = []
    for entry in section.imported:
        if entry.name in names:
            raise ConfigError(f"imported maps need a name of their own; {entry.name!r} is taken.")
        names.append(entry.name)
        found.append(ImportedMaps(entry.name, entry.path, entry.signed))
    return found


def with_maps(config: RunConfig, files: Sequence[Path]) -> RunConfig:
    """``config`` with ``files`` among its imported maps, named after their files. Equal names are replaced."""
    new = {f.stem: ImportedSection(name=f.stem, path=str(f.resolve())) for f in files}
    if len(new) < len(files):
        raise ConfigError(f"two files of maps share a name: {', '.join(map(str, files))}. Rename one.")
    kept = [entry for entry in config.evaluation.imported if entry.name not in new]
    evaluation = config.evaluation.model_copy(update={"imported": [*kept, *new.values()]})
    return config.model_copy(update={"evaluation": evaluation})
