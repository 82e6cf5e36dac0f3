"""``explainer.save_pretrained()`` and ``explainer.push_to_hub()``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from sidelight.checks.watched import WatchedWeights
from sidelight.core.folders import folder_path
from sidelight.core.guard import public
from sidelight.core.places import name_elsewhere
from sidelight.explanations.asking import is_one
from sidelight.explanations.explanation import Explanation
from sidelight.hub.card import Sample, Subject, card_files
from sidelight.hub.options import MOST_SAMPLES, CardOptions, card_options
from sidelight.hub.results import read_results
from sidelight.hub.uploading import require_repository, upload
from sidelight.rows.sources import rows_of
from sidelight.scorers import Scorer
from sidelight.scorers.checkpoint import save_scorer
from sidelight.targets import TargetModel

#: dots per inch of a sample map, so that a card of twelve stays below a megabyte
DPI = 72


class Sharing:
    """How an explainer leaves the process: to a folder, and to the hub."""

    target: TargetModel
    scorer: Scorer
    _weights: WatchedWeights

    @public
    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        overwrite: bool = False,
        *,
        card: CardOptions | Mapping[str, Any] | bool | None = None,
    ) -> Path:
        """Write scorer weights (safetensors), config with the target's id, revision and weight hash, and a model card.

        The hash is of the weights that the scorer was trained beside. If the classifier has others by now, a warning says so.

        Args:
            folder: made if it is missing. Files of others in it stay.
            overwrite: replace files of others that have the names of ours: ``config.json``, ``scorer.safetensors``.
            card: what the card ``README.md`` says beyond what is known, a mapping of the fields of
                :class:`~sidelight.hub.options.CardOptions`, e.g. ``{"license": "mit", "samples": photos[:4]}``. ``False``
                writes no card. A ``README.md`` that a person wrote or changed stays in any case.

        Raises:
            CheckpointError: the disk refused. An older checkpoint in ``folder`` stays as it was.
            ForeignFileError: ``folder`` is a file or a link, or such a file stands in it.
            ConfigError: the card has no such option, or the results are of another classifier.
            InputError: a sample of the card is of a kind that the classifier does not read.

        Example:
            >>> folder = explainer.save_pretrained("my-scorer")
            >>> sorted(path.name for path in folder.iterdir() if path.suffix)
            ['README.md', 'config.json', 'processor.json', 'scorer.safetensors']
        """
        place = folder_path(folder)
        weights = self._weights.origin()
        files = self._card(place.name, card, weights)
        return save_scorer(place, self.scorer, self.target, overwrite, weights, beside=files)

    @public
    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        commit_message: str = "Upload a sidelight scorer",
        revision: str | None = None,
        create_pr: bool = False,
        overwrite: bool = False,
        card: CardOptions | Mapping[str, Any] | bool | None = None,
    ) -> str:
        """Publish the scorer with its model card in a repository of the Hugging Face hub.

        The repository is made if it is missing. The classifier is not uploaded, and paths of this machine are left out.

        Args:
            repo_id: ``"owner/name"``, or ``"name"`` for your own account.
            private: whether a new repository is private. Default: what your account or organisation prescribes.
            token: default: the one of ``hf auth login``.
            commit_message: of the commit.
            revision: branch, made if it is missing. Default: the main branch.
            create_pr: propose the files as a pull request, instead of writing them.
            overwrite: replace a ``config.json`` or ``scorer.safetensors`` there that sidelight did not write.
            card: as in :meth:`save_pretrained`. A ``README.md`` there that a person wrote or changed stays.

        Returns:
            The address of the commit, or of the pull request.

        Raises:
            ForeignFileError: the repository holds the configuration of something else, e.g. of the classifier.
            CheckpointError: the hub refused or cannot be reached. The message says what to do.
            ConfigError, InputError: as :meth:`save_pretrained`.

        Example:
            >>> explainer.push_to_hub("me/my-scorer", card={"license": "mit"})  # doctest: +SKIP
        """
        name, weights = require_repository(repo_id), self._weights.origin()
        files = self._card(name, card, weights)

        def write(folder: Path) -> None:
            save_scorer(folder, self.scorer, self.target, weights=weights, beside=files, public=True)

        return upload(
            write,
            repo_id,
            commit_message,
            private=private,
            token=token,
            revision=revision,
            create_pr=create_pr,
            overwrite=overwrite,
        )

    def _card(
        self, name: str, card: CardOptions | Mapping[str, Any] | bool | None, weights: Mapping[str, Any]
    ) -> dict[str, bytes]:
        if card is False:
            return {}
        options = card_options(None if card is True else card)
        identity = self.target.identity(weights)
        sizes = (_count(self.target.model), _count(self.scorer))
        place = options.results
        results = None if place is None else read_results(place, identity["fingerprint"], sizes[0])
        return card_files(
            Subject(
                title=options.title or name.rpartition("/")[2] or "scorer",
                repository=name,
                modalities=list(self.target.modalities),
                identity=_without_path(identity),
                labels=list(self.target.id2label.values()),
                parameters=sizes,
                facts=self.scorer.facts,
                options=options,
                results=results,
                samples=self._samples(options.samples),
                model_class=_class_of(self.target.model),
            )
        )

    def _samples(self, given: Any) -> list[Sample]:
        if given is None:
            return []
        if is_one(self.target, given):
            several = [given]
        else:
            several = list(given if isinstance(given, (list, tuple)) else rows_of(given, "samples"))
        explain = cast(Any, self).explain  # of the explainer, which is this class too
        found = explain(several[:MOST_SAMPLES], errors="skip") if several else []
        return [_sample(answer) for answer in found]


def _sample(answer: Any) -> Sample:
    from sidelight.viz.export import to_png

    if not isinstance(answer, Explanation):
        return Sample(remark=f"it could not be explained: {answer.reason}")
    remark = "its map is constant, so it says nothing" if answer.meta.get("constant_map") else ""
    return Sample(answer.label, answer.probability, to_png(answer.plot(), DPI), remark)


def _without_path(identity: dict[str, Any]) -> dict[str, Any]:
    """The classifier's record for readers: of a folder only its name."""
    return {**identity, "name": name_elsewhere(str(identity.get("name", "")), identity.get("local"))}


def _class_of(model: Any) -> str:
    """Name of the class of ``model``, if transformers has it."""
    kind = type(model)
    return kind.__name__ if kind.__module__.partition(".")[0] == "transformers" else ""


def _count(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
