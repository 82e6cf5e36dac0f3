"""What a request asks: its body within limits, its fields with the right types, and a wish for each input.

The body is read piece by piece, and no further than the longest one that may be valid. Nothing in it is ever opened as a path
or an address.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from sidelight.core.columns import KNOWN_COLUMNS, PICTURE_COLUMNS
from sidelight.core.counted import repeated
from sidelight.errors import SidelightError
from sidelight.inputs.limits import Limits
from sidelight.serving.answers import MAPS
from sidelight.serving.models import EXPLAIN, ServedModel, Wish
from sidelight.serving.problems import Problem
from sidelight.serving.settings import MOST_TEXTS, ServeOptions

#: fields that both questions have, and those of an explanation
INPUTS = ("model", "text", "texts", "image")
OPTIONS = ("target", "versus", "verify", "maps", "inputs")
#: longest name of a class, model or map
MOST_NAME = 200
#: base64 for addresses has two other characters
_FOR_ADDRESSES = str.maketrans("-_", "+/")
#: how pictures in base64 begin: data URIs, PNG, JPEG, GIF, WebP
_PICTURES = ("data:image/", "iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR")
#: how their files begin. A form that puts such a file in the place of a text gives it as Latin-1
_PICTURE_FILES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF")
_AS_TEXT = tuple(start.decode("latin-1") for start in _PICTURE_FILES)
#: how more than one text is sent
_IN_JSON = (
    ' Send JSON: {"text": ["first", "second"]} for two texts that the model reads together, {"texts": ["one", "another"]} '
    "for several."
)
#: bytes of a body that is parsed at once
SMALL = 2**16


@dataclass(frozen=True)
class Ask:
    """A request that was read.

    Attributes:
        model: that it is about.
        wishes: one for each input, at least one. Of several texts, the error that a bad one is answered with.
        several: whether the answer is a list.
        maps, inputs: parts of each explanation that are sent.
    """

    model: ServedModel
    wishes: list[Wish | Exception]
    several: bool
    maps: tuple[str, ...] = MAPS
    inputs: bool = False


async def read(request: Request, kind: str, models: Mapping[str, ServedModel], options: ServeOptions) -> Ask:
    """Read a request of this kind.

    Raises:
        Problem: it is too long, or of another form.
    """
    _require_none_in_address(request)
    pictures = any("image" in model.reads for model in models.values())
    given = await _fields(request, options.most_bytes(pictures))
    known = (*INPUTS, *(OPTIONS if kind == EXPLAIN else ()))
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise Problem(
            "field",
            f"there is no field {unknown[0]!r:.60} in /{kind}; fields: {', '.join(known)}.{_meant(unknown)}",
        )
    model = _model(given.get("model"), models)
    several = given.get("texts") is not None
    wanted = {name: _class(name, given.get(name)) for name in ("target", "versus")}
    verify = _flag("verify", given.get("verify"))
    if verify and not options.verify:
        raise Problem("option", "this service measures no maps; leave verify out.")
    wishes = [
        parts
        if isinstance(parts, Exception)
        else Wish(kind, parts, wanted["target"], wanted["versus"], verify)
        for parts in _parts(given, model, options.limits)
    ]
    return Ask(model, wishes, several, _maps(given.get("maps")), _flag("inputs", given.get("inputs")))


def _require_none_in_address(request: Request) -> None:
    # what a proxy adds for itself has other names
    named = [name for name in (*INPUTS, *OPTIONS) if name in request.query_params]
    if named:
        raise Problem(
            "field",
            f"the address holds the field {named[0]!r}, which is read from the body alone: put it there.",
        )


def _meant(unknown: Sequence[str]) -> str:
    """What to send in place of fields with the usual names of columns."""
    seconds = {names[1] for names in KNOWN_COLUMNS if len(names) == 2} - {names[0] for names in KNOWN_COLUMNS}
    if seconds.intersection(unknown):
        return ' Two texts that the model reads together are a list in JSON: "text": ["first", "second"].'
    renamed = {names[0]: "text" for names in KNOWN_COLUMNS} | dict.fromkeys(PICTURE_COLUMNS, "image")
    renamed |= {spelled: name for name in INPUTS for spelled in (name.upper(), name.title(), f"{name}s")}
    found = next((renamed[name] for name in unknown if name in renamed), None)
    return f" Call it {found!r}." if found else ""


async def _fields(request: Request, most: int) -> dict[str, Any]:
    """The fields of a JSON object or of a form."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > most:
        raise _too_large(most)
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    readers = {"application/json": _json, "multipart/form-data": _form}
    if media not in readers:
        raise Problem("media_type", f"the body is of the type {media or 'nothing'!r:.60}.")
    try:
        return await readers[media](request, most)
    except ClientDisconnect as error:
        raise Problem("body", "the body ended too early.") from error


async def _pieces(request: Request, most: int) -> AsyncIterator[bytes]:
    """The body, as it arrives. What is beyond the limit is not read."""
    read = 0
    async for piece in request.stream():
        read += len(piece)
        if read > most:
            raise _too_large(most)
        yield piece


def _too_large(most: int) -> Problem:
    return Problem("too_large", f"the body is longer than the limit of {most:,} bytes.")


async def _json(request: Request, most: int) -> dict[str, Any]:
    body = b"".join([piece async for piece in _pieces(request, most)])
    # the JSON of a large picture takes a tenth of a second, in which the service would answer nobody
    return _parsed(body) if len(body) < SMALL else await run_in_threadpool(_parsed, body)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body, parse_constant=_no_number, object_pairs_hook=_fields_once)
    except RecursionError as error:
        raise Problem("body", "the JSON is nested too deeply.") from error
    except ValueError as error:  # of the text, of its encoding, and of numbers with thousands of digits
        raise Problem("body", f"the body is no valid JSON ({str(error)[:100]}).") from error
    if not isinstance(found, dict):
        raise Problem("body", f"the JSON must be an object; got {type(found).__name__}.")
    image = found.get("image")
    if image is None:
        return found
    if not isinstance(image, str):
        raise Problem("field", "in JSON, image must be the content of a file in base64.")
    _require_unswapped(found)
    try:
        return {**found, "image": _content(image)}
    except (binascii.Error, ValueError) as error:
        raise Problem("field", "image is no base64 of a file's content; paths are not opened.") from error


def _content(image: str) -> bytes:
    """The content of a file from base64, as programs write it: broken into lines, for addresses, or as a data URI.

    Raises:
        ValueError: it is none.
    """
    head, _, _ = image[:100].partition(",")
    if head.lower().startswith("data:") and head.lower().endswith(";base64"):
        image = image[len(head) + 1 :]
    plain = "".join(image.split())
    # the form for addresses comes without padding, and has no slash. A path is no content, and gets none
    padding = "" if "/" in plain else "=" * (-len(plain) % 4)
    return base64.b64decode(plain.translate(_FOR_ADDRESSES) + padding, validate=True)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _fields_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Python would take the last of several fields of one name, and other readers the first."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"it has {repeated(name for name, _ in pairs)[0]!r:.60} twice")
    return found


class _WholeForm(MultiPartParser):
    """The parser of a form that knows whether its end came. A field that is cut off is no field, and would not be missed.

    It also knows the fields whose bytes are no text of the form's encoding. They are read as Latin-1, so as other letters.
    """

    ended = False
    undecoded: tuple[str, ...] = ()

    def on_part_end(self) -> None:
        super().on_part_end()
        part = self._current_part
        if part.file is None:
            try:
                part.data.decode(self._charset)
            except (ValueError, LookupError):
                self.undecoded = (*self.undecoded, part.field_name)

    def on_end(self) -> None:
        self.ended = True


async def _form(request: Request, most: int) -> dict[str, Any]:
    fields = len(INPUTS) + len(OPTIONS)
    pieces = _pieces(request, most)
    # a generator of our own, because a form has a limit for each part and none for the whole
    # two files, because a text that came as a file is told what is wrong with it
    parser = _WholeForm(request.headers, pieces, max_files=2, max_fields=fields, max_part_size=most)  # type: ignore[arg-type]
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Problem("body", f"the form cannot be read ({error.message[:100]}).") from error
    try:
        if not parser.ended:
            raise Problem("body", "the form ends before its last boundary, so a field may be missing.")
        given = form.multi_items()
        doubled = repeated(name for name, _ in given)
        if doubled:
            told = _IN_JSON if doubled[0] in ("text", "texts") else ""
            raise Problem("field", f"the form has {doubled[0]!r:.60} twice.{told}")
        found: dict[str, Any] = {name: await _value(value) for name, value in given}
        _require_unswapped(found)
        undecoded = [name for name in parser.undecoded if not _is_picture(found[name])]
        if undecoded:
            raise Problem(
                "body", f"the field {undecoded[0]!r:.60} of the form is no UTF-8: encode it as UTF-8."
            )
        if found.get("texts") is not None or _is_list_of_texts(found.get("text")):
            raise Problem("field", f"a form holds one text.{_IN_JSON}")
        for name, value in given:
            if isinstance(value, UploadFile) != (name == "image"):
                wanted = "a file" if name == "image" else "a value and no file"
                raise Problem("field", f"in a form, {name!r:.60} must be {wanted}.")
    finally:
        await form.close()
    if found.get("maps"):
        found["maps"] = [name.strip() for name in found["maps"].split(",")]
    return found


async def _value(value: UploadFile | str) -> bytes | str | None:
    """What a field of a form holds. A browser sends those that nobody filled as well, which are ``None``."""
    if isinstance(value, UploadFile):
        return await value.read() if value.size or value.filename else None
    return value or None


def _is_list_of_texts(value: Any) -> bool:
    """Whether a field of a form holds texts in JSON, which would be explained with its quotes and brackets."""
    if not isinstance(value, str) or not value.lstrip().startswith("[") or len(value) > SMALL:
        return False
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return False
    return bool(found) and all(isinstance(text, str) for text in found)


def _require_unswapped(fields: Mapping[str, Any]) -> None:
    if _is_picture(fields.get("text")) and "image" in fields and not _is_picture(fields["image"]):
        raise Problem("field", "text is the content of a picture, and image is none: the two are swapped.")


def _is_picture(content: Any) -> bool:
    """Whether a field holds a picture: the content of a file, or base64."""
    if isinstance(content, bytes):
        return content.startswith(_PICTURE_FILES)
    if not isinstance(content, str):
        return False
    # a text may begin in the same way. But it has spaces, which base64 has not, and no null character behind "GIF89a"
    coded = content.startswith(_PICTURES) and " " not in content[:50]
    return coded or (content.startswith(_AS_TEXT) and "\0" in content[:100])


def _model(name: Any, models: Mapping[str, ServedModel]) -> ServedModel:
    if name is None and len(models) == 1:
        return next(iter(models.values()))
    if not isinstance(name, str) or name not in models:
        known = ", ".join(f"{own!r:.60}" for own in models)
        raise Problem("option", f"model must be one of {known}; got {name!r:.60}.")
    return models[name]


def _parts(given: Mapping[str, Any], model: ServedModel, limits: Limits) -> list[dict[str, Any] | Exception]:
    """The content of each input, in the order in which the model reads its modalities. Of several texts a bad one is its error."""
    texts = given.get("texts")
    if texts is not None and ("image" in model.reads or given.get("text") is not None):
        raise Problem("field", "texts is for classifiers of texts alone, and goes without text.")
    if texts is not None and (not isinstance(texts, list) or not 1 <= len(texts) <= MOST_TEXTS):
        got = f"{len(texts)} texts" if isinstance(texts, list) else type(texts).__name__
        raise Problem(
            "field", f"texts must be a list of 1 to {MOST_TEXTS} texts; got {got}. One text is 'text'."
        )
    for modality in ("text", "image"):
        if modality not in model.reads and given.get(modality) is not None:
            raise Problem("input", f"{model.name} reads no {modality}; it reads {', '.join(model.reads)}.")
    _require_all(given, model)
    rows: list[Mapping[str, Any]] = [given] if texts is None else [{"text": text} for text in texts]
    checks: dict[str, Callable[[Any], Any]] = {
        "text": lambda value: _text(value, model, limits),
        "image": limits.picture_bytes,
    }

    def parts_of(row: Mapping[str, Any]) -> dict[str, Any] | Exception:
        try:
            return {m: checks[m](row.get(m)) for m in model.reads}
        except (Problem, SidelightError) as error:
            if texts is None:
                raise
            return error

    return [parts_of(row) for row in rows]


def _require_all(given: Mapping[str, Any], model: ServedModel) -> None:
    """Refuse a request without a field of what the model reads. Other services call it ``inputs``, which is an option here."""
    names = [name for name, value in given.items() if value is not None]
    missing = [m for m in model.reads if m not in names and not (m == "text" and "texts" in names)]
    if missing:
        flag = (
            " 'inputs' says whether pixels are sent back, and holds none itself." if "inputs" in names else ""
        )
        raise Problem(
            "field",
            f"the field {missing[0]!r} is missing: {model.name} reads {', '.join(model.reads)}; got "
            f"{', '.join(map(repr, names)) or 'no field'}.{flag}",
        )


def _text(value: Any, model: ServedModel, limits: Limits) -> Any:
    """A text, or two of them as a tuple."""
    if isinstance(value, list) and (len(value) != 2 or len(model.reads) > 1):
        raise Problem(
            "field",
            f"a text must be a string, or a list of two strings for a classifier of two; got a list of "
            f"{len(value)}.{_IN_JSON if len(model.reads) == 1 else ''}",
        )
    parts = value if isinstance(value, list) else [value]
    odd = [type(part).__name__ for part in parts if part is not None and not isinstance(part, str)]
    if odd:
        raise Problem("field", f"a text must be a string; got {odd[0]}.")
    if any(map(_is_picture, parts)):
        raise Problem("field", f"text is the content of a picture, and {model.name} needs a text there.")
    read = [limits.text(part) for part in parts]
    return tuple(read) if isinstance(value, list) else read[0]


def _class(name: str, value: Any) -> str | int | None:
    if value is None or (isinstance(value, str) and 0 < len(value) <= MOST_NAME):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31:
        return value
    if isinstance(value, str) and value:
        raise Problem(
            "field",
            f"{name} has {len(value):,} characters, and names of up to {MOST_NAME} are read: give the number of the class.",
        )
    raise Problem("field", f"{name} must be the name or the number of a class; got {value!r:.60}.")


def _flag(name: str, value: Any) -> bool:
    known = {None: False, "": False, "false": False, "true": True}
    if isinstance(value, bool):
        return value
    if isinstance(value, (str, type(None))) and value in known:
        return known[value]
    raise Problem("field", f"{name} must be true or false; got {value!r:.60}.")


def _maps(value: Any) -> tuple[str, ...]:
    if value is None:
        return MAPS
    if not isinstance(value, list) or not value or any(v not in MAPS for v in value):
        raise Problem("field", f"maps must list some of {', '.join(MAPS)}; got {value!r:.60}.")
    return tuple(value)
