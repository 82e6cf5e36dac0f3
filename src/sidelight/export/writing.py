"""One exported file: traced, written, compared with PyTorch, and put in its place with what lies beside it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sidelight.core.files import as_utf8, json_text, replace_file
from sidelight.core.folders import folder_path, replace_folder, require_folder_place
from sidelight.core.optional import require
from sidelight.core.ownership import MANIFEST, foreign_entries, is_manifest, require_free
from sidelight.core.places import name_elsewhere
from sidelight.core.refusals import require_writable, system_number
from sidelight.core.types import Inputs
from sidelight.core.version import __version__
from sidelight.errors import ConfigError, ExportError
from sidelight.export.check import TOLERANCE, compare
from sidelight.export.copies import shared_copy
from sidelight.export.examples import TRACED, Examples
from sidelight.export.graph import (
    LARGEST,
    OPSET,
    PACKAGES,
    USE,
    onnx_runner,
    pt2_runner,
    traced,
    write_onnx,
    write_pt2,
)
from sidelight.export.module import CLASSES, ExplainingModule, chosen_classes, named_outputs, text_part
from sidelight.export.sidecar import sha256, sidecar
from sidelight.inputs.kept_tokenizer import STEPS, opens_otherwise
from sidelight.inputs.tokenizing import SPECIAL
from sidelight.scorers import Scorer
from sidelight.targets import TargetModel
from sidelight.targets.embedding import pools_last_token
from sidelight.targets.weights import hash_of
from sidelight.targets.wrappers import float_type, precision_of

log = logging.getLogger(__name__)

#: endings of the two formats
ONNX, PT2 = ".onnx", ".pt2"
#: endings of what lies beside an exported file
SIDECAR, TOKENIZER = ".json", ".tokenizer"
#: for whoever has other files where ours belong
ADVICE = "Choose another name, or pass overwrite=True (as an option of the command: --overwrite)."


@dataclass(frozen=True)
class Writing:
    """The writing of one file. See :meth:`sidelight.export.exporting.Exporting.export`.

    Attributes:
        fingerprint: hash of the target's weights.
        path: of the file.
    """

    target: TargetModel
    scorer: Scorer
    fingerprint: str
    path: Path

    @property
    def is_onnx(self) -> bool:
        """Whether the file is ONNX, else it is for ``torch.export.load``."""
        return self.path.suffix.lower() == ONNX

    def write(self) -> Path:
        """Write the file, compare it with PyTorch, and write what lies beside it."""
        self._require_possible()
        examples = Examples(self.target, self.scorer)
        device = torch.device("cpu") if self.is_onnx else None
        copies = shared_copy(self.target, self.scorer, examples.inputs(*TRACED), device)
        module, reference = ExplainingModule(*copies), _reference(*self._compared(*copies))
        inputs, about = examples.traced(), self._about()
        outputs = reference(inputs)
        # Replaced from the last to the first, once all is there. After a kill between two of them the old JSON has
        # another hash than the file.
        with (
            replace_file(self._beside(SIDECAR)) as note,
            self._tokenizer_written() as tokenizer,
            replace_file(self.path) as tmp,
        ):
            program = traced(module, module.moved(inputs), examples.axes(inputs))
            if self.is_onnx:
                write_onnx(program, tmp, list(inputs), list(outputs), examples.axes(inputs), about)
            else:
                write_pt2(program, tmp, about)
            run = onnx_runner(tmp) if self.is_onnx else pt2_runner(tmp, module)
            batches = compare(run, reference, examples, self.path.name)
            more = {**about, "file": self.path.name, "sha256": sha256(tmp)}
            checked = {"tolerance": TOLERANCE, "batches": batches}
            found = sidecar(self.target, examples, inputs, outputs, more, checked, tokenizer)
            note.write_bytes(as_utf8(json_text(found)))
        if tokenizer is None:
            self._remove_old_tokenizer()
        return self.path

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(self.path.name + ending)

    def _require_possible(self) -> None:
        """Refuse what is known beforehand to fail."""
        if self.path.suffix.lower() not in (ONNX, PT2):
            raise ConfigError(
                f"the format follows from the name's ending, {ONNX} or {PT2}; got {self.path.name!r}."
            )
        require_free([self.path, self._beside(SIDECAR)], ADVICE)
        require_folder_place(folder_path(self._beside(TOKENIZER)), "Choose another name for the model.")
        require_writable(self.path)
        text = text_part(self.target)
        if text is not None and text.vocabulary.config_pad_id is None and pools_last_token(text.model):
            raise ExportError(
                f"a file takes batches of texts, and {self.target.name} has no padding token, so it takes one text at a time. "
                "Set tokenizer.pad_token (for example to tokenizer.eos_token) and model.config.pad_token_id = "
                "tokenizer.pad_token_id, and make the explainer anew."
            )
        if not self.is_onnx:
            return
        require(PACKAGES, USE, "onnx")
        size = 4 * sum(p.numel() for m in (self.target.model, self.scorer) for p in m.parameters())
        if size > LARGEST:
            raise ExportError(
                f"the weights of {self.target.name} take {size / 2**30:.1f} GB in float32, and one ONNX file holds 2 GB. "
                f"Export to {self.path.stem}{PT2} instead."
            )

    def _compared(self, target: TargetModel, scorer: Scorer) -> tuple[TargetModel, Scorer]:
        """The model and scorer that the file is compared with: the original, unless the graph computes otherwise."""
        plain = self.target.device.type == "cpu" and float_type(self.target.model) == torch.float32
        return (self.target, self.scorer) if plain or not self.is_onnx else (target, scorer)

    def _about(self) -> dict[str, str]:
        """What the file itself says of its origin."""
        identity = self.target.identity({})
        return {
            "sidelight_version": __version__,
            "torch_version": str(torch.__version__),
            "family": self.target.family,
            "target": name_elsewhere(identity["name"], identity["local"]),
            "fingerprint": self.fingerprint,
            "scorer": hash_of({k: v.detach().cpu() for k, v in self.scorer.state_dict().items()}),
            "precision": "float32" if self.is_onnx else precision_of(self.target.model),
            **({"opset": str(OPSET)} if self.is_onnx else {}),
        }

    @contextmanager
    def _tokenizer_written(self) -> Iterator[dict[str, Any] | None]:
        """Write the tokenizer, and yield where it will lie: a folder beside the file. ``None`` if there is none."""
        text = text_part(self.target)
        tokenizer = None if text is None else text.reader.tokenizer
        if tokenizer is None:
            yield None
            return
        folder, advice = self._beside(TOKENIZER), ADVICE
        with replace_folder(folder, advice=advice) as tmp:
            try:
                tokenizer.save_pretrained(tmp)
            except Exception as error:  # tokenizers of users raise anything
                if system_number(error) is not None:
                    raise
                log.warning("%s cannot be saved (%s).", type(tokenizer).__name__, error)
            if opens_otherwise(tokenizer, tmp):
                log.warning(
                    "AutoTokenizer.from_pretrained makes another tokenizer of the files in %s than the one that was given: its "
                    "class makes some steps anew. Use tokenizers.Tokenizer.from_file(%r) in its place.",
                    folder.name,
                    f"{folder.name}/{STEPS}",
                )
            files = sorted(p.relative_to(tmp).as_posix() for p in tmp.rglob("*") if p.is_file())
            require_free([folder / name for name in files], advice)
            yield {"folder": folder.name, "files": files}

    def _remove_old_tokenizer(self) -> None:
        """Remove the tokenizer of an earlier file of this name, if nobody else keeps files there."""
        folder = self._beside(TOKENIZER)
        if is_manifest(folder / MANIFEST) and not folder.is_symlink() and not foreign_entries(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _reference(target: TargetModel, scorer: Scorer) -> Callable[[Inputs], dict[str, Tensor]]:
    """What PyTorch gives, by the way that ``explain`` takes: with all checks, and not traced."""
    text = text_part(target)

    def run(inputs: Inputs) -> dict[str, Tensor]:
        own = dict(inputs)
        classes = own.pop(CLASSES, None)
        if text is not None:
            own |= text.reader.positions(own["attention_mask"])
            own |= {
                SPECIAL: torch.isin(own["input_ids"], torch.tensor(sorted(text.added_ids), dtype=torch.long))
            }
        own = target.to_device(own)
        target.check(own)
        encoding = target.encode(own)
        chosen = chosen_classes(encoding, None if classes is None else classes.to(target.device))
        with torch.no_grad():
            reading = scorer.to(target.device).reading(encoding, chosen if scorer.config.by_class else None)
        return {name: value.cpu() for name, value in named_outputs(encoding, chosen, reading).items()}

    return run
