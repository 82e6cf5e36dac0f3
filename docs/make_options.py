"""docs/reference/options.md, made from signatures, docstrings and sections of the code.

python docs/make_options.py
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel

from sidelight.cli.app import app
from sidelight.cli.listing import known
from sidelight.explainer import Explainer
from sidelight.lab.config.sections import RunConfig
from sidelight.scorers import ScorerConfig
from sidelight.scorers.base import DECODERS
from sidelight.targets.families import TARGETS
from sidelight.targets.options import family_options
from sidelight.training.presets import DEFAULT_PRESET, PRESETS
from sidelight.training.settings import ObjectiveConfig, TrainingConfig

PAGE = Path(__file__).resolve().parent / "reference" / "options.md"
HEAD = """# All options

<!-- Made from the code by `make docs-reference`. Change the docstrings instead. -->

This page lists every option. The guide [Options of fit](../guides/options-of-fit.md) says which of them matter and when,
and the [glossary](../glossary.md) explains the terms.

* [Explainer.fit](#explainerfit), and the settings [ScorerConfig](#scorerconfig), [ObjectiveConfig](#objectiveconfig) and
  [TrainingConfig](#trainingconfig)
* [Options of the classifier's family](#options-of-the-classifiers-family) and [of the scorer's decoders](#options-of-the-scorers-decoders)
* [Configuration file](#configuration-file)
* [Commands](#commands)
* [Names](#names): fills, calibrations, baseline methods, metrics, data sets
"""
#: arguments that are no options
_BESIDE = ("cls", "self", "model", "train", "options")
#: options that every target family has
SHARED = {
    "class_names": "names of the classes, in the order of the outputs, if the model does not name them."
}
#: what a kind of names is called in documents
TITLES = {"rival": "baseline method"}


def page() -> str:
    """The text of the page."""
    parts = [
        HEAD,
        *fit(),
        *(part for kind in (ScorerConfig, ObjectiveConfig, TrainingConfig) for part in settings(kind)),
        *families(),
        *decoders(),
        *sections(),
        *commands(),
        *names(),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def fit() -> Iterator[str]:
    """``Explainer.fit``: its own arguments."""
    yield "## Explainer.fit"
    yield "The classifier comes first and the training rows second. All other arguments are given by name."
    about = described(Explainer.fit)
    own = inspect.signature(Explainer.fit).parameters
    lines = [(n, shown_default(p.default), about.get(n, "")) for n, p in own.items() if n not in _BESIDE]
    yield table(
        ("argument", "default", "meaning"),
        [("`model`", "", about.get("model", "")), ("`train`", "", about.get("train", "")), *coded(lines)],
    )
    yield (
        "`scorer`, `objective` and `training` are three groups of settings. Their fields, listed below, may also be given "
        'directly to `fit`, for example `epochs=1` or `fills=["mean"]`. So may the [options of the classifier\'s '
        "family](#options-of-the-classifiers-family)."
    )


def settings(kind: Any) -> Iterator[str]:
    """One of the settings: its fields."""
    about, hints = described(kind), typing.get_type_hints(kind)
    yield f"### {kind.__name__}"
    yield lead(kind)
    lines = [
        (f.name, kind_of(hints[f.name]), field_default(f), about.get(f.name, ""))
        for f in dataclasses.fields(kind)
    ]
    if kind is not ObjectiveConfig:
        yield table(("field", "type", "default", "meaning"), coded(lines))
        return
    yield (
        f"`fit` and configurations begin from the preset `{DEFAULT_PRESET}` unless you name another one. The table has the "
        "values of both presets."
    )
    lines = [(n, k, d, preset_value(n, d), a) for n, k, d, a in lines]
    yield table(("field", "type", "thesis", DEFAULT_PRESET, "meaning"), coded(lines))


def preset_value(name: str, other: str) -> str:
    """The value of a field of the objective under the default preset, in words. ``other`` if the preset does not set it."""
    if name == "preset":
        return shown_default(DEFAULT_PRESET)
    values = PRESETS[DEFAULT_PRESET]
    return shown_default(values[name]) if name in values else other


def families() -> Iterator[str]:
    """Options of each target family."""
    yield "## Options of the classifier's family"
    yield "`fit` takes them by name. In a configuration file they stand in `target.options`."
    for name, family in TARGETS.items():
        about, own = described(family), inspect.signature(family.__init__).parameters
        lines = []
        for option, hint in family_options(family).items():
            default = shown_default(own[option].default) if option in own else ""
            lines.append((option, kind_of(hint), default, about.get(option, SHARED.get(option, ""))))
        yield f"### {name}"
        yield table(("option", "type", "default", "meaning"), coded(lines))


def decoders() -> Iterator[str]:
    """Options of each modality's decoder."""
    yield "## Options of the scorer's decoders"
    yield '`fit` takes them as `decoder={"image": {...}}`. In a configuration file they stand in `scorer`.'
    for name, decoder in DECODERS.items():
        about, own = described(decoder), inspect.signature(decoder).parameters
        lines = [
            (o, kind_of(hint), shown_default(own[o].default) if o in own else "", about.get(o, ""))
            for o, hint in getattr(decoder, "OPTIONS", {}).items()
        ]
        yield f"### Decoder: {name}"
        yield table(("option", "type", "default", "meaning"), coded(lines))


def sections() -> Iterator[str]:
    """Every section of a configuration file, outer ones first."""
    yield "## Configuration file"
    yield (
        "The configuration of a run is a YAML file with these sections ([Compare methods](../guides/compare-methods.md) "
        "shows one). Every value can be changed on the command line, for example `--set training.epochs=1`. An unknown key "
        "is refused, and the message gives the nearest known one."
    )
    waiting: list[tuple[str, Any]] = [("", RunConfig)]
    for path, kind in waiting:  # grows while it is read: sections hold sections
        if path in ("objective", "training"):
            yield f"### `{path}`\n\nThe fields of [{kind.__name__}](#{kind.__name__.lower()})."
            continue
        if kind in [k for p, k in waiting[: waiting.index((path, kind))]]:
            first = next(p for p, k in waiting if k is kind)
            yield f"### `{path}`\n\nThe same keys as `{first}`."
            continue
        fields = section_fields(kind)
        about = described(kind)
        lines = [(n, kind_of(hint), default, about.get(n, "")) for n, (hint, default) in fields.items()]
        yield f"### `{path or 'top level'}`"
        yield words_of(kind)
        described_any = any(line[3] for line in lines)
        head = ("key", "type", "default", "meaning") if described_any else ("key", "type", "default")
        yield table(head, coded(lines if described_any else [line[:3] for line in lines]))
        for name, (hint, _) in fields.items():
            inner = section_in(hint)
            if inner is not None:
                waiting.append((f"{path}.{name}".lstrip("."), inner))


def section_fields(kind: Any) -> dict[str, tuple[Any, str]]:
    """Key -> type and default of a section."""
    if issubclass(kind, BaseModel):
        fields = kind.model_fields.items()
        return {
            n: (
                f.annotation,
                "" if f.is_required() else shown_default(f.get_default(call_default_factory=True)),
            )
            for n, f in fields
        }
    hints = typing.get_type_hints(kind)
    return {f.name: (hints[f.name], field_default(f)) for f in dataclasses.fields(kind)}


def section_in(hint: Any) -> Any:
    """The section that a type holds, or ``None``."""
    if isinstance(hint, type) and (issubclass(hint, BaseModel) or dataclasses.is_dataclass(hint)):
        return hint
    return next((s for s in map(section_in, typing.get_args(hint)) if s is not None), None)


def commands() -> Iterator[str]:
    """Every command with its arguments and options."""
    yield "## Commands"
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        yield f"### `sidelight {name}`"
        yield textwrap.dedent(command.help or "").strip()
        lines = []
        for parameter in command.params:
            is_option = parameter.param_type_name == "option"
            long = [o for o in (*parameter.opts, *parameter.secondary_opts) if o.startswith("--")]
            shown = " / ".join(long) if is_option else (parameter.metavar or (parameter.name or "").upper())
            default = (
                ""
                if parameter.required or parameter.default in (None, False)
                else shown_default(parameter.default)
            )
            lines.append((shown, default, getattr(parameter, "help", "") or ""))
        if lines:
            yield table(("argument", "default", "meaning"), coded(lines))


def names() -> Iterator[str]:
    """Every registered name."""
    yield "## Names"
    yield "`sidelight list` prints them too."
    rows = known()
    for kind in dict.fromkeys(row["kind"] for row in rows):
        yield f"### Names: {TITLES.get(kind, kind)}"
        lines = [(row["name"], row["about"]) for row in rows if row["kind"] == kind]
        yield table(("name", "meaning"), coded(lines))


def described(thing: Any) -> dict[str, str]:
    """Name -> text of the ``Args`` or ``Attributes`` of a docstring; classes add those of their parents.

    One entry may describe several names: ``a, b: text``.
    """
    found: dict[str, str] = {}
    places = [*reversed(thing.__mro__), thing.__init__] if inspect.isclass(thing) else [thing]
    for place in places:
        text = inspect.cleandoc(
            place.__dict__.get("__doc__") or "" if inspect.isclass(place) else place.__doc__ or ""
        )
        match = re.search(r"^(?:Args|Attributes):\n((?:[ ]+.*\n?|\n)+)", text, re.MULTILINE)
        for entry in re.split(r"\n(?=\S)", textwrap.dedent(match.group(1))) if match else []:
            keys, _, words = entry.partition(":")
            for key in re.split(r",\s*", keys):
                found[key.strip().lstrip("*")] = plain(words)
    return found


def words_of(kind: Any) -> str:
    """The docstring of a section without its list of attributes."""
    text = inspect.cleandoc(kind.__dict__.get("__doc__") or "")
    return plain(re.split(r"^(?:Args|Attributes):\n", text, flags=re.MULTILINE)[0])


def lead(kind: Any) -> str:
    """The first paragraph of a docstring."""
    return plain(inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0])


def plain(text: str) -> str:
    """Words of a docstring as Markdown on one line."""
    text = re.sub(
        r":\w+:`~?([^`<]+?)(?: <[^`]*>)?`", lambda m: f"`{m.group(1).removeprefix('sidelight.')}`", text
    )
    return " ".join(text.replace("``", "`").split())


def kind_of(hint: Any) -> str:
    """A type in words."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return kind_of(inner[0])
    if origin is typing.Literal:
        return ", ".join(map(str, inner))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(kind_of(i) for i in inner))
    if origin is not None and issubclass(origin, Mapping):
        return "mapping"
    if origin is not None:
        item = kind_of(next(i for i in inner if i is not Ellipsis)) if inner else ""
        return f"list of ({item})" if " or " in item else f"list of {item}" if item else "list"
    simple = {int: "int", float: "float", bool: "bool", str: "str", type(None): "none", Any: "any"}
    return simple.get(hint) or str(getattr(hint, "__name__", hint))


def field_default(field: dataclasses.Field[Any]) -> str:
    """The default of a dataclass's field in words."""
    if field.default is not dataclasses.MISSING:
        return shown_default(field.default)
    return "" if field.default_factory is dataclasses.MISSING else shown_default(field.default_factory())


def shown_default(value: Any) -> str:
    """A default as it is written in code; nothing for sections and for what has none."""
    if value is inspect.Parameter.empty or isinstance(value, BaseModel) or dataclasses.is_dataclass(value):
        return ""
    if isinstance(value, Path):
        return f"`{value}`"
    return f"`{list(value) if isinstance(value, tuple) else value}`"


def coded(lines: Any) -> list[tuple[str, ...]]:
    """Lines whose first cell is code."""
    return [(f"`{first}`", *rest) for first, *rest in lines]


def table(head: tuple[str, ...], lines: Any) -> str:
    """A Markdown table."""
    rows = [head, ("---",) * len(head), *lines]
    return "\n".join(f"| {' | '.join(str(c).replace('|', chr(92) + '|') for c in cells)} |" for cells in rows)


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
