"""A scorer on disk: ``config.json`` and ``scorer.safetensors``, never the target's weights."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from sidelight.errors import CheckpointError, SidelightError
from sidelight.files import read_json, write_json
from sidelight.folders import recover_folder, replace_folder
from sidelight.ownership import MARK, overwriting
from sidelight.scorers import Scorer, ScorerConfig
from sidelight.scorers.base import spec_from_dict, spec_to_dict
from sidelight.targets import TARGETS, TargetModel, as_target

CONFIG = "config.json"
WEIGHTS = "scorer.safetensors"
FORMAT = "sidelight.scorer"


@dataclass(frozen=True)
class SavedScorer:
    """A scorer read from disk, before it meets its target."""

    scorer: Scorer
    target: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Hash of the weights the scorer was trained beside."""
        return str(self.target["fingerprint"])

    @property
    def target_name(self) -> str:
        """Hub id or folder of the target."""
        return str(self.target["name"])

    def open_target(self, model: nn.Module | TargetModel | None, processor: Any) -> TargetModel:
        """The given model, or the remembered one, behind the target protocol.

        Raises:
            CheckpointError: no model was given and the remembered one cannot be loaded.
        """
        if isinstance(model, TargetModel):
            return model
        family = TARGETS[self.target["family"]]
        if model is None:
            model = self._load_model(family)
        if processor is None:
            processor = self._load_processor(family)
        return as_target(model, processor, family=self.target["family"], **self.target["options"])

    def _load_model(self, family: type[TargetModel]) -> nn.Module:
        try:
            return family.load_model(self.target_name, self.target.get("revision"))
        except Exception as error:
            reason = str(error).strip().split("\n")[0]
            raise CheckpointError(
                f"the scorer's target {self.target_name!r} cannot be loaded ({reason}); "
                "pass the classifier itself: from_pretrained(folder, model=...)."
            ) from error

    def _load_processor(self, family: type[TargetModel]) -> Any:
        try:
            return family.load_processor(
                self.target_name, self.target["processor"], self.target.get("revision")
            )
        except (SidelightError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"the remembered preprocessing of {self.target_name!r} is damaged ({error}); "
                "pass processor=..."
            ) from error


def save_scorer(folder: Path, scorer: Scorer, target: TargetModel, overwrite: bool = False) -> Path:
    """Write ``folder`` at once; an older checkpoint stays until the new one is complete.

    Files of others in the folder stay. Where they have the names of ours they are replaced with ``overwrite`` only.

    Raises:
        CheckpointError: the disk refused.
        ForeignFileError: ``folder`` is a file or link, or holds a file of somebody else with the name of one of ours.
    """
    from safetensors.torch import save_file

    import sidelight

    config = {
        "format": FORMAT,
        "sidelight_version": sidelight.__version__,
        "scorer": scorer.config.to_dict(),
        "spec": spec_to_dict(scorer.spec),
        "target": target.identity(),
    }
    advice = f"Save into a folder of its own, e.g. {folder / 'scorer'}, or replace this one file with overwrite=True."
    # the configuration comes last: where it stands, the weights are there
    with (
        overwriting(overwrite),
        replace_folder(folder, last=[CONFIG], listed=False, advice=advice) as tmp,
    ):
        state = {k: v.detach().cpu().contiguous() for k, v in scorer.state_dict().items()}
        try:
            save_file(state, str(tmp / WEIGHTS), metadata={MARK: FORMAT})
        except SidelightError:
            raise
        except Exception as error:  # safetensors has an error of its own for a full disk
            raise OSError(str(error)) from error
        write_json(tmp / CONFIG, config)
    return folder


def load_scorer(source: str | os.PathLike[str], revision: str | None = None) -> SavedScorer:
    """Read a scorer from a folder or a hub id.

    Raises:
        CheckpointError: a file is missing, truncated, corrupt, or of another kind.
    """
    from safetensors.torch import load_file

    folder = _folder(source, revision)
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else type(config).__name__
        raise CheckpointError(f"{folder / CONFIG} is not a sidelight scorer (format {found!r}).")
    try:
        known = {k: v for k, v in config["scorer"].items() if k in ScorerConfig.__dataclass_fields__}
        scorer = Scorer(spec_from_dict(config["spec"]), ScorerConfig(**known))
        target = {k: config["target"][k] for k in ("family", "name", "fingerprint", "processor", "options")}
        TARGETS[target["family"]]
    except (KeyError, TypeError, ValueError, AttributeError, SidelightError) as error:
        raise CheckpointError(f"{folder / CONFIG} is incomplete or damaged ({error!r}).") from error
    try:
        state = load_file(str(folder / WEIGHTS))
        scorer.load_state_dict(state)
    except FileNotFoundError as error:
        raise CheckpointError(f"no {WEIGHTS} in {folder}.") from error
    except Exception as error:
        raise CheckpointError(
            f"{folder / WEIGHTS} is corrupt or truncated ({error}); copy it again or fit anew."
        ) from error
    return SavedScorer(scorer, {**config["target"], **target})


def _folder(source: str | os.PathLike[str], revision: str | None) -> Path:
    folder = Path(source)
    recover_folder(folder)
    if folder.is_dir():
        return folder
    text = os.fspath(source)
    if text.count("/") != 1 or text.startswith((".", "/", "~")):
        raise CheckpointError(f"no scorer folder at {text!r}.")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(text, revision=revision, allow_patterns=[CONFIG, WEIGHTS]))
    except Exception as error:
        raise CheckpointError(
            f"{text!r} is neither a folder nor to be had from the hub ({error})."
        ) from error
