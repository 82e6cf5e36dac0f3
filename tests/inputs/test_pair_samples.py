"""Samples of an image and a text: what counts as one, what is refused and how it is said; the processor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pair_models import TEXTS, TRANSFORM, images, make_target, make_tokenizer, pairs
from sidelight.errors import InputError, InputTypeError, SidelightError
from sidelight.inputs.collate import Collator
from sidelight.inputs.pairs import is_pair, read_pairs
from sidelight.targets import ImageTextProcessor

PHOTO = images(1)[0]


@pytest.fixture
def photo(tmp_path: Path) -> str:
    PHOTO.save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


def test_tuples_and_rows_say_the_same() -> None:
    rows = [{"image": i, "text": t, "label": 1, "id": 7} for i, t in pairs()]
    assert read_pairs(rows) == read_pairs(pairs()) == pairs()
    named = [{"image": i, "caption": t} for i, t in pairs()]
    assert read_pairs(named, columns=["caption"]) == pairs()
    both = read_pairs([{"image": PHOTO, "question": "what?", "context": "a cat"}])
    assert both == [(PHOTO, ("what?", "a cat"))]
    assert read_pairs(both) == both


@pytest.mark.parametrize(
    ("value", "yes"),
    [
        ((PHOTO, "a cat"), True),
        (("a cat", PHOTO), True),  # swapped, which is said when it is read
        (("photo.png", "a cat"), True),
        ((Path("photo.png"), "a cat"), True),
        ((np.zeros((4, 4), np.uint8), "a cat"), True),
        ((torch.zeros(3, 4, 4), "a cat"), True),
        (({"bytes": b"", "path": None}, "a cat"), True),
        ((PHOTO, ("what?", "a cat")), True),
        (("photo.png", ("what?", "a cat")), True),
        ((("what?", "a cat"), PHOTO), False),
        ((PHOTO, ("what?", 1)), False),
        (((PHOTO, "a cat"), 1), False),
        ((PHOTO, 1), False),
        ((PHOTO, PHOTO), False),
        (([PHOTO], ["a cat"]), False),
        ([PHOTO, "a cat"], False),
        ((PHOTO, "a cat", 1), False),
    ],
)
def test_what_counts_as_one_pair(value: Any, yes: bool) -> None:
    assert is_pair(value) == yes


def test_what_counts_as_one_sample() -> None:
    target = make_target("fusion-resnet")
    for one in (pairs()[0], {"image": PHOTO, "text": "a"}, PHOTO, "a cat"):
        assert target.reader.is_sample(one)
    for several in (pairs(), tuple(pairs()), ([PHOTO], ["a"]), [{"image": PHOTO, "text": "a"}]):
        assert not target.reader.is_sample(several)


def test_collator_takes_pairs_with_and_without_labels() -> None:
    collate = Collator(make_target("fusion-resnet"))
    plain = collate(pairs())
    labelled = collate([(pair, i) for i, pair in enumerate(pairs())])
    rows = collate([{"image": i, "text": t, "labels": 2} for i, t in pairs()])
    assert "labels" not in plain
    assert labelled.pop("labels").tolist() == [0, 1, 2]
    assert rows.pop("labels").tolist() == [2, 2, 2]
    for other in (labelled, rows):
        assert plain.keys() == other.keys()
        assert all(torch.equal(plain[k], other[k]) for k in plain)
    ready = collate([{k: v[i] for k, v in plain.items()} | {"label": 1} for i in range(3)])
    assert ready.pop("labels").tolist() == [1, 1, 1]
    assert all(torch.equal(plain[k], ready[k]) for k in plain)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "I;16", "CMYK"])
def test_pictures_of_any_kind(mode: str) -> None:
    target = make_target("fusion-resnet")
    odd = PHOTO.convert(mode) if mode != "I;16" else Image.fromarray(np.full((9, 9), 3000, np.uint16))
    inputs = target.reader.read([(odd, "a red square"), (PHOTO, "dull")]).inputs
    target.check(inputs)
    assert inputs["pixel_values"].shape == (2, 3, 32, 32)
    assert torch.equal(inputs["pixel_values"][0], TRANSFORM(odd))


def test_paths_arrays_and_prepared_pixels_mix(photo: str) -> None:
    target = make_target("fusion-resnet")
    ready = TRANSFORM(PHOTO)
    samples = [(photo, "dull"), (Path(photo), "dull"), (np.asarray(PHOTO), "dull"), (ready, "dull")]
    pixels = target.reader.read(samples).inputs["pixel_values"]
    assert all(torch.equal(p, ready) for p in pixels)


def row(**values: Any) -> list[Any]:
    return [{"image": PHOTO, "text": "dull"}, {"image": PHOTO, "text": "dull", **values}]


BAD: dict[str, tuple[Callable[[], Any], type[SidelightError], str]] = {
    "no image": (
        lambda: [{"text": "dull"}],
        InputError,
        r"image of sample 0 is missing; the columns are \['text'\]",
    ),
    "image None": (lambda: row(image=None), InputError, "image of sample 1 is None"),
    "no text": (
        lambda: [{"image": PHOTO, "label": 1}],
        InputError,
        r"text of sample 0 is missing.*columns=\['NAME'\]",
    ),
    "text None": (lambda: row(text=None), InputError, r"sample 1 has no text \(None\)"),
    "tuple with None": (lambda: [(None, "dull")], InputError, r"sample 0 has no image \(None\)"),
    "empty text": (lambda: row(text=""), InputError, "sample 1 is empty"),
    "blank text": (lambda: row(text=" \n"), InputError, "sample 1 is only white space"),
    "text is a number": (lambda: row(text=3.0), InputTypeError, "sample 1 is not text: float '3.0'"),
    "text NaN": (lambda: row(text=float("nan")), InputTypeError, "NaN"),
    "text is bytes": (lambda: row(text=b"dull"), InputTypeError, "text of sample 1 is a bytes"),
    "swapped": (
        lambda: [("a red square", PHOTO)],
        InputTypeError,
        r"text of sample 0 is an Image. The two are swapped. Give \(image, text\), in this order",
    ),
    "swapped columns": (lambda: row(image="dull", text=PHOTO), InputTypeError, "sample 1 .*swapped"),
    "text for image": (
        lambda: row(image="a red square"),
        InputError,
        "sample 1: 'a red square' does not exist",
    ),
    "long text for image": (
        lambda: row(image="a square " * 99),
        InputError,
        "sample 1: 'a square .* cannot be opened",
    ),
    "image for text": (lambda: [(PHOTO, PHOTO)], InputTypeError, "text of sample 0 is an Image"),
    "a number for an image": (lambda: row(image=3), InputTypeError, "the image of sample 1: .* got int"),
    "float array": (lambda: row(image=np.zeros((4, 4))), InputTypeError, "image of sample 1: .*uint8"),
    "two lists": (
        lambda: (images(3), TEXTS),
        InputTypeError,
        r"not an image with a text but a list of 3; .* list\(zip\(images, texts\)\)",
    ),
    "columns of a batch": (
        lambda: [{"image": images(3), "text": TEXTS[:2]}],
        InputError,
        "3 under 'image' and 2 under 'text'.*one text per image",
    ),
    "an image alone": (lambda: [PHOTO], InputTypeError, "sample 0 is not an image with a text but an Image"),
    "a text alone": (lambda: ["dull"], InputTypeError, "sample 0 is not an image with a text but a str"),
    "three parts": (lambda: [(PHOTO, "a", "b")], InputTypeError, "a tuple of 3"),
    "nothing": (lambda: [], InputError, "batch is empty"),
    "two sizes": (
        lambda: [(torch.zeros(3, 8, 8), "dull"), (torch.zeros(3, 9, 9), "dull")],
        InputError,
        r"share one shape; got \[\(3, 8, 8\), \(3, 9, 9\)\]",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_samples_say_what_is_wrong(case: str) -> None:
    samples, error, message = BAD[case]
    reader = make_target("fusion-resnet").reader
    with pytest.raises(error, match=f"(?s){message}"):
        reader.prepare(reader.samples(samples()))


def test_swapped_paths_and_a_broken_file(photo: str, tmp_path: Path) -> None:
    target = make_target("fusion-resnet")
    with pytest.raises(InputError, match="so the two are swapped"):
        target.reader.read([("a red square", photo)])
    broken = tmp_path / "broken.png"
    broken.write_bytes(Path(photo).read_bytes()[:200])
    with pytest.raises(InputError, match=r"the image of sample 1: cannot read .*broken\.png"):
        target.reader.read([(photo, "dull"), (str(broken), "dull")])


def test_numbers_count_on_from_the_first_sample() -> None:
    with pytest.raises(InputError, match="sample 41 is empty"):
        make_target("fusion-resnet").reader.samples(row(text=""), first=40)


INPUTS: dict[str, tuple[dict[str, Any], type[SidelightError], str]] = {
    "no pixels": ({"pixel_values": None}, InputTypeError, "'pixel_values' tensor"),
    "no ids": ({"input_ids": None}, InputTypeError, "'input_ids' tensor"),
    "swapped": (
        {"pixel_values": torch.ones(3, 11, dtype=torch.long), "input_ids": torch.rand(3, 3, 32, 32)},
        InputTypeError,
        "Are pixel_values and input_ids swapped",
    ),
    "counts": ({"pixel_values": torch.rand(2, 3, 32, 32)}, InputError, r"2 image\(s\) but 3 text\(s\)"),
    "channels": ({"pixel_values": torch.rand(3, 1, 32, 32)}, InputError, "takes 3 channel"),
    "not finite": ({"pixel_values": torch.full((3, 3, 32, 32), float("nan"))}, InputError, "NaN"),
    "vocabulary": ({"input_ids": torch.full((3, 11), 999)}, InputError, "token id 999"),
    "mask": ({"attention_mask": torch.ones(3, 4)}, InputError, "attention_mask has shape"),
    "padded images": (
        {"pixel_mask": torch.cat([torch.ones(3, 32, 20), torch.zeros(3, 32, 12)], 2)},
        InputError,
        "padded to a common size",
    ),
}


@pytest.mark.parametrize("case", INPUTS)
def test_bad_inputs_say_what_is_wrong(case: str) -> None:
    changes, error, message = INPUTS[case]
    target = make_target("fusion-resnet")
    inputs = {**target.reader.read(pairs()).inputs, **changes}
    with pytest.raises(error, match=message):
        target.check(inputs)


def test_inputs_that_are_no_mapping_or_lack_a_part() -> None:
    target = make_target("fusion-resnet")
    with pytest.raises(InputTypeError, match="got Tensor"):
        target.check(torch.zeros(2, 3, 32, 32))  # type: ignore[arg-type]
    inputs = target.reader.read(pairs()).inputs
    for part in ("pixel_values", "input_ids"):
        with pytest.raises(InputTypeError, match=f"'{part}'"):
            target.check({k: v for k, v in inputs.items() if k != part})
    target.check({**inputs, "pixel_mask": torch.ones(3, 32, 32)})


class TestProcessor:
    def test_saved_and_loaded_it_prepares_the_same(self, tmp_path: Path) -> None:
        processor = ImageTextProcessor(TRANSFORM, make_tokenizer())
        processor.save_pretrained(tmp_path)
        again = ImageTextProcessor.from_pretrained(tmp_path)
        assert again.image_processor == TRANSFORM
        first, second = (p(images=images(3), text=TEXTS) for p in (processor, again))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[k], second[k]) for k in first)
        target = make_target("fusion-resnet").reader.read(pairs()).inputs
        assert torch.equal(first["pixel_values"], target["pixel_values"])
        assert torch.equal(first["input_ids"], target["input_ids"])

    def test_a_hugging_face_image_processor_is_taken_over(self) -> None:
        from transformers import ViTImageProcessor

        size = {"height": 20, "width": 24}
        processor = ImageTextProcessor(ViTImageProcessor(size=size), make_tokenizer())
        assert processor.image_processor is not None
        assert processor.image_processor.size == (20, 24)
        assert processor([PHOTO], ["dull"])["pixel_values"].shape == (1, 3, 20, 24)

    def test_what_is_wrapped(self) -> None:
        tokenizer = make_tokenizer()
        both = SimpleNamespace(image_processor=TRANSFORM, tokenizer=tokenizer)
        for given in (both, (TRANSFORM, tokenizer), ImageTextProcessor(TRANSFORM, tokenizer)):
            found = ImageTextProcessor.wrap(given)
            assert found.image_processor == TRANSFORM
            assert found.tokenizer is tokenizer
        assert ImageTextProcessor.wrap(None).tokenizer is None
        for half in (TRANSFORM, tokenizer):
            with pytest.raises(InputTypeError, match="needs what prepares both"):
                ImageTextProcessor.wrap(half)

    def test_counts_and_kinds(self) -> None:
        processor = ImageTextProcessor(TRANSFORM, make_tokenizer())
        with pytest.raises(InputError, match=r"3 image\(s\) but 2 text\(s\)"):
            processor(images(3), TEXTS[:2])
        with pytest.raises(InputTypeError, match="a list of images"):
            processor(PHOTO, "dull")  # type: ignore[arg-type]
        with pytest.raises(InputError, match="lacks its image transform or its tokenizer"):
            ImageTextProcessor(TRANSFORM)(images(1), ["dull"])

    def test_without_it_raw_samples_are_refused_and_tensors_work(self) -> None:
        ready = make_target("fusion-resnet").reader.read(pairs()).inputs
        target = make_target("fusion-resnet")
        bare = type(target)(target.model)
        with pytest.raises(InputError, match="need the model's image processor"):
            bare.reader.read(pairs())
        with pytest.raises(InputError, match="need the model's tokenizer"):
            bare.reader.read([(x, "dull") for x in ready["pixel_values"]])
        torch.testing.assert_close(
            bare.encode(bare.reader.read(ready).inputs).logits, target.encode(ready).logits
        )
