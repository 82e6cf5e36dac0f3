"""The metadata block of a model card, by which the hub finds, filters and links a scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sidelight.hub.escaping import plain
from sidelight.hub.options import CardOptions, is_hub_id
from sidelight.hub.results import Results

#: the hub's task of a classifier by what it reads. There is none for images with texts
TASKS: dict[tuple[str, ...], str] = {("image",): "image-classification", ("text",): "text-classification"}
TAGS = ("sidelight", "explainability", "interpretability", "attribution")


def metadata_block(
    title: str,
    modalities: Sequence[str],
    identity: Mapping[str, Any],
    facts: Mapping[str, Any],
    options: CardOptions,
    results: Results | None,
) -> str:
    """The YAML of the block, without the lines of dashes. huggingface_hub's own classes write it.

    Args:
        title: name of the scorer.
        modalities: that the classifier reads.
        identity: of the classifier (:meth:`sidelight.targets.TargetModel.identity`).
        facts: of the training (:mod:`sidelight.training.facts`).
        options: of the card.
        results: measured ones, if there are any.
    """
    from huggingface_hub import ModelCardData

    base = base_model(identity, options)
    task = TASKS.get(tuple(modalities))
    sets = data_ids(facts, options)
    measured = _eval_results(task, sets, results)
    data = ModelCardData(
        library_name="sidelight",
        license=options.license,
        license_name=None if options.license_name is None else plain(options.license_name),
        license_link=None if options.license_link is None else plain(options.license_link),
        pipeline_tag=task,
        tags=[*TAGS, *modalities],
        base_model=base,
        base_model_relation="adapter" if base else None,
        datasets=sets or None,
        metrics=sorted({result.metric_type for result in measured}) or None,
        model_name=plain(title) if measured else None,
        eval_results=measured or None,
    )
    return str(data.to_yaml())


def base_model(identity: Mapping[str, Any], options: CardOptions) -> str | None:
    """The hub id of the classifier, if it has one."""
    if options.base_model:
        return options.base_model
    place = identity.get("place")
    known = isinstance(place, str) and not identity.get("local") and is_hub_id(place)
    # the name of a class is no id, and a commit is known only of what came from the hub
    return place if known and ("/" in str(place) or identity.get("revision")) else None


def data_ids(facts: Mapping[str, Any], options: CardOptions) -> list[str]:
    """The hub ids of the training data."""
    known = facts.get("data")
    found = known.get("hub") if isinstance(known, Mapping) else None
    return list(options.datasets) or ([found] if isinstance(found, str) and is_hub_id(found) else [])


def _eval_results(task: str | None, sets: Sequence[str], results: Results | None) -> list[Any]:
    from huggingface_hub import EvalResult

    if results is None:
        return []
    name = plain(results.dataset) or "data"
    return [
        EvalResult(
            task_type=task or "other",
            dataset_type=sets[0] if sets else name,
            dataset_name=name,
            metric_type=row.metric,
            metric_name=plain(
                ", ".join(part for part in (row.metric, row.modality, row.unit, row.fill) if part)
            ),
            metric_value=round(row.value, 6),
            metric_config=row.fill or None,
        )
        for row in results.rows
    ]
