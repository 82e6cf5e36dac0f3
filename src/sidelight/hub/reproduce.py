"""Code for a model card: how a scorer is loaded, and the call that makes it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sidelight.hub.metadata import base_model, data_ids
from sidelight.hub.options import CardOptions

_MODELS = {"image": "AutoModelForImageClassification", "text": "AutoModelForSequenceClassification"}
_PROCESSORS = {"image": "AutoImageProcessor", "text": "AutoTokenizer"}
_PREPARES = {"image": "image processor", "text": "tokenizer"}


def load_call(repository: str, base: str | None) -> str:
    """Code that loads the scorer from ``repository``. ``base`` is the classifier's hub id, if it has one."""
    if base:
        return f"import sidelight\n\nexplainer = sidelight.load({repository!r})\nexplanation = explainer.explain(...)"
    return (
        f"import sidelight\n\nmodel = ...  # the classifier that this scorer was trained beside\n"
        f"explainer = sidelight.load({repository!r}, model)\nexplanation = explainer.explain(...)"
    )


def fit_call(
    modalities: Sequence[str],
    identity: Mapping[str, Any],
    facts: Mapping[str, Any],
    options: CardOptions,
    model_class: str = "",
) -> str:
    """The call of ``fit`` with the classifier, the data and every option that is no default.

    Args:
        model_class: the class of the classifier, if transformers has it.
    """
    base, sets = base_model(identity, options), data_ids(facts, options)
    lines = ["from sidelight import Explainer", ""]
    if base:
        lines += _classifier(modalities, base, identity.get("revision"), model_class)
    else:
        lines += _own(modalities, identity)
    data = repr(_at_revision(sets[0], facts)) if sets else _named(facts)
    lines.append(f"train = {data}")
    given = facts.get("options")
    told = given if isinstance(given, Mapping) else {}
    arguments = ["model", "train", "processor=processor"]
    arguments += [f"{name}={value!r}" for name, value in told.items() if str(name).isidentifier()]
    lines.append("explainer = Explainer.fit(\n    " + ",\n    ".join(arguments) + ",\n)")
    if not told:
        lines.append("# the options of the training are not known")
    return "\n".join(lines)


def _classifier(modalities: Sequence[str], base: str, revision: Any, model_class: str) -> list[str]:
    one = modalities[0] if len(modalities) == 1 else ""
    # no automatic class has the heads of all classifiers of pairs
    model = _MODELS.get(one) or model_class or "AutoModel"
    processor = _PROCESSORS.get(one, "AutoProcessor")
    at = f", revision={str(revision)!r}" if revision else ""
    return [
        f"from transformers import {model}, {processor}",
        "",
        f"model = {model}.from_pretrained({base!r}{at})",
        f"processor = {processor}.from_pretrained({base!r}{at})",
    ]


def _own(modalities: Sequence[str], identity: Mapping[str, Any]) -> list[str]:
    parts = [_PREPARES.get(name, "processor") for name in modalities]
    return [
        f"model = ...  # the classifier; the hash of its weights is {_one_line(identity.get('fingerprint'))}",
        f"processor = ...  # its {' and '.join(parts)}",
    ]


def _at_revision(name: str, facts: Mapping[str, Any]) -> str:
    data = facts.get("data")
    known = data if isinstance(data, Mapping) and data.get("hub") == name else {}
    return f"{name}@{known['revision']}" if known.get("revision") else name


def _named(facts: Mapping[str, Any]) -> str:
    data = facts.get("data")
    name = data.get("name") if isinstance(data, Mapping) else None
    return f"...  # {_one_line(name)}" if name else "...  # your rows"


def _one_line(value: object) -> str:
    """``value`` for a comment: nothing in it can end the line."""
    return ascii(str(value))[:200]
