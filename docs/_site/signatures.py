"""Signatures of the reference as a reader needs them: every argument, and no machinery of type checkers."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any, get_type_hints

from sphinx.pycode import ModuleAnalyzer
from sphinx.util.inspect import signature, stringify_signature

EMPTY = inspect.Parameter.empty


def readable(
    app: Any, what: str, name: str, thing: Any, options: Any, arguments: str | None, returned: str | None
) -> tuple[str, str] | None:
    """Answer Sphinx's event ``autodoc-process-signature``. ``None`` leaves a signature as it is.

    Three kinds need help. Fields of settings carry their checks in their types, which would fill the page. Of a function
    that is a class method by another name, such as ``sidelight.fit``, Sphinx leaves out the first argument. And of a
    method with overloads it would show only these, without the options.
    """
    if what == "class" and dataclasses.is_dataclass(thing):
        return shown(of_fields(thing)), ""
    if what == "function" and inspect.ismethod(thing):
        return in_parts(of_method(thing))
    if what == "method" and without_overloads(thing):
        return in_parts(of_method(thing))
    return None


def shown(found: inspect.Signature) -> str:
    """``found`` with the names of types alone."""
    return stringify_signature(found, unqualified_typehints=True)


def in_parts(found: inspect.Signature) -> tuple[str, str]:
    """The arguments, and what is returned. That a function returns anything at all says nothing."""
    arguments = shown(found.replace(return_annotation=EMPTY))
    return arguments, "" if found.return_annotation is Any else shown(found)[len(arguments) :].removeprefix(
        " -> "
    )


def of_method(method: Any) -> inspect.Signature:
    """The arguments of a method without the first. They are read from its code: Sphinx leaves marks on decorators."""
    found = signature(inspect.unwrap(getattr(method, "__func__", method)))
    return found.replace(parameters=list(found.parameters.values())[1:])


def of_fields(kind: Any) -> inspect.Signature:
    """The arguments of a dataclass, with plain types and with the defaults themselves."""
    try:
        types = get_type_hints(kind)
    except NameError:  # a name that only type checkers import
        types = {field.name: field.type for field in dataclasses.fields(kind)}
    arguments = []
    for field in dataclasses.fields(kind):
        if not field.init:
            continue
        default = EMPTY if field.default is dataclasses.MISSING else field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        how = inspect.Parameter.KEYWORD_ONLY if field.kw_only else inspect.Parameter.POSITIONAL_OR_KEYWORD
        arguments.append(inspect.Parameter(field.name, how, default=default, annotation=types[field.name]))
    return inspect.Signature(arguments)


def without_overloads(method: Any) -> bool:
    """Make Sphinx forget the overloads of ``method``. Returns whether there were any."""
    analyzer = ModuleAnalyzer.for_module(method.__module__)
    analyzer.analyze()
    return bool(analyzer.overloads.pop(method.__qualname__, None))
