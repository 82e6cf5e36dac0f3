"""Pictures: the model sees the processor's own pixels; files of known formats within limits; pixels out of range."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import struct
import time
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import image_processors as own
import numpy as np
import pytest
import torch
from fault_models import SQUARE, P, S, eye, untrained
from PIL import EpsImagePlugin, Image
from torch import Tensor, nn
from transformers import (
    Dinov2Config,
    Dinov2ForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
)
from transformers.image_processing_backends import PilBackend

import sidelight
from pair_models import make_target
from sidelight import Explainer, ImageTransform, fit
from sidelight.errors import InputError, InputTypeError, SidelightError
from sidelight.inputs.images import ProcessorTransform, as_transform, read_image, transform_from_dict
from sidelight.inputs.picture_files import FORMATS
from sidelight.inputs.pixels import PixelRangeWarning
from sidelight.rows.content import value_digest
from sidelight.rows.sources import rows_of
from sidelight.rows.table_files import PICTURES
from sidelight.rows.table_source import open_source
from sidelight.targets.image import ImageTarget


def alone(processor: Any, picture: Image.Image) -> Tensor | None:
    """The processor's own pixels, or ``None`` where it fails."""
    try:
        return processor(images=picture, return_tensors="pt")["pixel_values"][0].float()
    except Exception:  # noqa: BLE001 - it cannot prepare this picture
        return None


def require_same(processor: Any, transform: Any, picture: Image.Image) -> None:
    expected = alone(processor, picture)
    if expected is None:
        with pytest.raises(InputError, match="cannot prepare"):
            transform(picture)
        return
    got = transform(picture)
    assert got.shape == expected.shape
    span = max(1.0, float(expected.max() - expected.min()))
    assert float((got - expected).abs().max()) <= 1e-5 * span


def taken(processor: Any) -> Any:
    """What is made of a processor; the message, where it is refused."""
    try:
        return as_transform(processor)
    except InputTypeError as error:
        return str(error)


def compare(name: str, pictures: list[Image.Image]) -> str:
    """``"equal"``, ``"refused"`` or ``"not made"``; fails where pixels differ."""
    try:
        processor = own.made(name)
    except (TypeError, ImportError):
        return "not made"
    transform = taken(processor)
    if isinstance(transform, str):
        assert name in transform
        return "refused"
    for picture in pictures:
        require_same(processor, transform, picture)
    return "equal"


def test_fault_07_every_image_processor_gives_its_own_pixels_or_is_refused_by_name() -> None:
    pictures = own.photos()[1:3]
    found = {name: compare(name, pictures) for name in own.classes()}
    counts = {k: list(found.values()).count(k) for k in ("equal", "refused", "not made")}
    assert counts["equal"] >= 48
    assert [n for n, k in found.items() if k == "not made"] == [
        "TimmWrapperImageProcessor"
    ]  # needs torchvision
    for name in (
        "ViT",
        "MobileViT",
        "EfficientNet",
        "Perceiver",
        "BridgeTower",
        "Segformer",
        "ConvNext",
        "Vilt",
    ):
        assert found[f"{name}ImageProcessorPil"] == "equal"
    for name in ("Siglip2", "ImageGPT", "VideoMAE", "Qwen2VL"):
        assert found[f"{name}ImageProcessorPil"] == "refused"


@pytest.mark.soak
@pytest.mark.parametrize("name", own.classes())
def test_fault_07_every_image_processor_on_more_pictures_and_after_saving(name: str) -> None:
    if compare(name, own.photos()) != "equal":
        return
    processor = own.made(name)
    saved = json.loads(json.dumps(as_transform(processor).to_dict()))  # type: ignore[union-attr]
    for picture in own.photos()[:3]:
        require_same(processor, transform_from_dict(saved), picture)


SMALL = {"height": 24, "width": 20}
CHANGED: list[tuple[str, dict[str, Any]]] = [
    *[
        ("ViT", {f"do_{what}": value})
        for what in ("resize", "rescale", "normalize")
        for value in (True, False)
    ],
    ("ViT", {"do_rescale": False, "do_normalize": False}),
    ("ViT", {"do_convert_rgb": True, "size": SMALL}),
    ("ViT", {"size": {"shortest_edge": 24}, "default_to_square": False}),
    ("ViT", {"size": {"shortest_edge": 24, "longest_edge": 30}, "default_to_square": False}),
    ("ViT", {"size": {"max_height": 24, "max_width": 24}, "default_to_square": False}),
    *[("ViT", {"size": SMALL, "resample": number}) for number in range(6)],
    ("ViT", {"size": SMALL, "rescale_factor": 1 / 127.5}),
    ("ViT", {"size": SMALL, "image_mean": 0.5, "image_std": 0.5}),
    ("ViT", {"size": SMALL, "do_pad": True, "pad_size": {"height": 32, "width": 32}}),
    ("CLIP", {"do_center_crop": False}),
    ("CLIP", {"do_resize": False}),
    ("CLIP", {"size": {"shortest_edge": 20}, "crop_size": {"height": 32, "width": 32}}),
    ("ConvNext", {"size": {"shortest_edge": 24}, "crop_pct": 0.5}),
    ("ConvNext", {"size": {"shortest_edge": 384}, "crop_pct": 1.0}),
    ("MobileViT", {"do_flip_channel_order": False}),
    ("MobileViT", {"do_center_crop": False}),
    ("EfficientNet", {"size": SMALL, "include_top": False}),
    ("EfficientNet", {"size": SMALL, "rescale_offset": True, "rescale_factor": 1 / 127.5}),
    ("Perceiver", {"do_center_crop": False}),
    ("PoolFormer", {"crop_pct": 0.7}),
    ("PoolFormer", {"crop_pct": None}),
    ("Vilt", {"size": {"shortest_edge": 32}, "size_divisor": 8}),
    ("Segformer", {"size": SMALL, "do_reduce_labels": True}),
    ("DeiT", {"size": {"height": 20, "width": 20}, "crop_size": {"height": 28, "width": 28}}),
]


@pytest.mark.parametrize(("name", "settings"), CHANGED)
def test_fault_07_settings_other_than_the_defaults(name: str, settings: dict[str, Any]) -> None:
    processor = own.made(f"{name}ImageProcessorPil", **settings)
    transform = taken(processor)
    if isinstance(transform, str):
        assert f"{name}ImageProcessorPil" in transform
        assert alone(processor, own.photo(61, 43)) is None or "pixel_mask" in transform
        return
    again = transform_from_dict(json.loads(json.dumps(transform.to_dict())))
    for picture in own.photos()[:3]:
        require_same(processor, transform, picture)
        require_same(processor, again, picture)


class Odd(PilBackend):
    """A processor as a user may write one: it mirrors pictures and squares their values."""

    size = {"height": 16, "width": 16}  # noqa: RUF012
    do_resize = do_rescale = True
    resample = 2

    def _preprocess(self, images: list[np.ndarray], **options: Any) -> Any:
        found = super()._preprocess([i[:, :, ::-1] for i in images], **options)
        found["pixel_values"] = [
            np.square(v) if isinstance(v, np.ndarray) else v**2 for v in found["pixel_values"]
        ]
        found["pixel_values"] = torch.stack([torch.as_tensor(v) for v in found["pixel_values"]])
        return found


class Random(Odd):
    def _preprocess(self, images: list[np.ndarray], **options: Any) -> Any:
        found = super()._preprocess(images, **options)
        found["pixel_values"] = found["pixel_values"] + torch.rand(1)
        return found


def test_fault_07_a_processor_of_the_user() -> None:
    transform = as_transform(Odd())
    assert isinstance(transform, ProcessorTransform)
    require_same(Odd(), transform, own.photo(40, 30))
    require_same(Odd(), transform_from_dict(transform.to_dict()), own.photo(40, 30))
    shown = transform.to_display(transform(Image.new("RGB", (16, 16), (255, 255, 255))))
    assert shown.shape == (16, 16, 3)
    assert shown.min() == pytest.approx(1)
    elsewhere = {**transform.to_dict(), "module": "nowhere"}
    with pytest.raises(InputError, match=r"Odd of nowhere.*pass processor="):
        transform_from_dict(elsewhere)
    with pytest.raises(InputTypeError, match=r"Random.*other pixels each time"):
        as_transform(Random())


class Configured(Odd):
    """As the processor of timm's models in transformers: it keeps what it made of its first argument, not the argument."""

    def __init__(self, pretrained_cfg: dict[str, Any], **options: Any) -> None:
        self.data_config = {"input_size": [3, 20, 24], **pretrained_cfg}
        height, width = self.data_config["input_size"][1:]
        super().__init__(size={"height": height, "width": width})


def test_fault_07_a_processor_that_keeps_its_argument_under_another_name_is_made_again() -> None:
    """A scorer beside a model of timm in transformers could be saved and not be loaded."""
    processor = Configured({"input_size": [3, 12, 16]})
    transform = as_transform(processor)
    assert isinstance(transform, ProcessorTransform)
    again = transform_from_dict(transform.to_dict())
    require_same(processor, again, own.photo(40, 30))
    assert again(own.photo(40, 30)).shape == (3, 12, 16)


@pytest.mark.parametrize("name", ["ViT", "CLIP", "ConvNext", "MobileNetV2", "MobileViT", "Siglip"])
@pytest.mark.parametrize("backend", ["", "Fast"])
def test_kind_a_scorer_loads_where_the_other_backend_of_its_processor_is_installed(
    name: str, backend: str
) -> None:
    """Transformers has each processor for torchvision and for Pillow. Their pixels differ by one or two of 255 grey levels.

    A scorer that was trained with torchvision could not be loaded without it.
    """
    transform = ProcessorTransform(own.made(f"{name}ImageProcessorPil"))
    saved = {**transform.to_dict(), "class": f"{name}ImageProcessor{backend}"}
    again = transform_from_dict(saved)
    assert again.to_dict() == saved  # what was remembered of the training stays
    expected = transform(own.photo(40, 30))
    level = float(transform.to_dict()["settings"].get("rescale_factor") or 1 / 255)
    scale = min(transform.to_dict()["settings"].get("image_std") or [1.0])
    torch.testing.assert_close(again(own.photo(40, 30)), expected, atol=2.5 * level / scale, rtol=0)


def test_fault_07_later_changes_of_the_processor_change_nothing() -> None:
    processor = own.made("MobileViTImageProcessorPil")
    transform = as_transform(processor)
    before = transform(P[0])  # type: ignore[misc]
    processor.do_flip_channel_order = False
    assert torch.equal(transform(P[0]), before)  # type: ignore[misc]


@pytest.mark.parametrize(
    "name", ["MobileViT", "EfficientNet", "Perceiver", "BridgeTower", "PoolFormer", "ViT"]
)
def test_fault_07_pictures_are_shown_in_their_own_colours(name: str) -> None:
    transform = as_transform(own.made(f"{name}ImageProcessorPil"))
    assert transform is not None
    orange = Image.new("RGB", (64, 64), (204, 102, 26))
    shown = transform.to_display(transform(orange))
    np.testing.assert_allclose(shown[20, 20], [0.8, 0.4, 26 / 255], atol=0.01)
    black, white = transform.bounds()
    for colour, bound in ((0, black), (255, white)):
        pixels = transform(Image.new("RGB", (64, 64), (colour,) * 3))
        torch.testing.assert_close(pixels[:, 20, 20], bound, atol=1e-5, rtol=0)


def test_fault_07_the_self_check_agrees_and_a_saved_scorer_remembers(tmp_path: Path) -> None:
    processor = own.made(
        "MobileViTImageProcessorPil", size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32}
    )
    model = eye()
    explainer = fit(model, P, processor=processor, output_dir=tmp_path / "run", **S)
    explainer.save_pretrained(tmp_path / "scorer")
    again = Explainer.from_pretrained(tmp_path / "scorer", model)
    for picture in (own.photo(40, 30), own.photo(30, 50)):
        pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
        expected = model(pixel_values=pixels).logits.softmax(-1)[0].detach().numpy()
        for one in (explainer, again):
            found = one.explain(picture)
            np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)
        np.testing.assert_allclose(again.explain(picture).map, explainer.explain(picture).map, atol=1e-6)


def test_fault_07_other_pixels_after_loading_are_an_error() -> None:
    saved = as_transform(own.made("MobileViTImageProcessorPil")).to_dict()  # type: ignore[union-attr]
    changed = {**saved, "settings": {**saved["settings"], "do_flip_channel_order": False}}
    with pytest.raises(InputError, match=r"MobileViT.*other pixels than when it was saved"):
        transform_from_dict(changed)
    with pytest.raises(InputError, match="Trainer"):  # only image processors are made from a file
        transform_from_dict({**saved, "class": "Trainer"})


def test_fault_07_a_processor_that_keeps_the_aspect_ratio_is_never_cropped() -> None:
    processor = own.made("ViTImageProcessorPil", size={"shortest_edge": 32}, default_to_square=False)
    config = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=3
    )
    target = ImageTarget(ResNetForImageClassification(config).eval(), processor)
    wide = own.photo(64, 40)
    pixels = processor(images=wide, return_tensors="pt")["pixel_values"]
    prepared = target.reader.read([wide]).inputs
    assert torch.equal(prepared["pixel_values"], pixels)
    assert pixels.shape[-1] > pixels.shape[-2]
    with pytest.raises(InputError, match=r"one shape.*ViTImageProcessorPil.*one at a time"):
        target.reader.read([wide, own.photo(40, 64)])


def test_fault_07_grey_models() -> None:
    processor = own.made(
        "ViTImageProcessorPil", size={"height": 28, "width": 28}, image_mean=[0.1], image_std=[0.3]
    )
    target = ImageTarget(eye(num_channels=1), processor)
    grey = own.photo(40, 30).convert("L")
    expected = processor(images=grey, return_tensors="pt")["pixel_values"]
    assert torch.allclose(target.reader.read([own.photo(40, 30)]).inputs["pixel_values"], expected, atol=1e-5)
    # channels follow the picture here; the model's config tells which are meant
    plain = own.made("ViTImageProcessorPil", size={"height": 32, "width": 32}, do_normalize=False)
    assert ImageTarget(eye(num_channels=1), plain).reader.read([own.photo(9, 9)]).inputs[
        "pixel_values"
    ].shape == (
        1,
        1,
        32,
        32,
    )
    assert ImageTarget(eye(), plain).reader.read([own.photo(9, 9).convert("L")]).inputs[
        "pixel_values"
    ].shape == (
        1,
        3,
        32,
        32,
    )


@pytest.mark.parametrize(
    "settings", [{"do_resize": False}, {"size": {"shortest_edge": 32}, "default_to_square": False}]
)
def test_fault_07_processors_without_one_size_fit_and_load(settings: dict[str, Any], tmp_path: Path) -> None:
    processor = own.made("ViTImageProcessorPil", **settings)
    model = eye()
    explainer = fit(model, P, processor=processor, output_dir=tmp_path / "run", **S)
    explainer.save_pretrained(tmp_path / "scorer")
    again = Explainer.from_pretrained(tmp_path / "scorer", model)
    np.testing.assert_allclose(again.explain(P[0]).map, explainer.explain(P[0]).map, atol=1e-6)
    with pytest.raises(InputError, match="32×32"):
        again.explain(own.photo(64, 40))


def test_fault_07_a_model_of_any_size_explains_each_picture_in_its_own_shape(tmp_path: Path) -> None:
    processor = own.made("ViTImageProcessorPil", size={"shortest_edge": 32}, default_to_square=False)
    config = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=3
    )
    model = ResNetForImageClassification(config).eval()
    explainer = fit(model, P, processor=processor, output_dir=tmp_path, **S)
    wide = explainer.explain(own.photo(64, 40))
    expected = model(**processor(images=own.photo(64, 40), return_tensors="pt")).logits.softmax(-1)
    assert wide.map.shape == (32, 51)
    np.testing.assert_allclose(wide.probabilities, expected[0].detach().numpy(), atol=1e-5)
    for one, alone_too in zip(
        explainer.explain([own.photo(64, 40), own.photo(40, 64)]),
        [wide, explainer.explain(own.photo(40, 64))],
        strict=True,
    ):
        np.testing.assert_allclose(one.map, alone_too.map, atol=1e-6)
    with pytest.raises(InputError, match="ViTImageProcessorPil gives each picture a size of its own"):
        fit(
            model,
            [own.photo(64, 40), own.photo(40, 64)] * 10,
            processor=processor,
            output_dir=tmp_path / "b",
            **S,
        )


# -- files ------------------------------------------------------------------------------


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header promises a size, with next to no data."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"0"))
        + chunk(b"IEND", b"")
    )


def test_fault_42_the_message_says_which_picture() -> None:
    target = ImageTarget(eye(), SQUARE)
    with pytest.raises(
        InputError, match=r"sample 2: cannot read 13 bytes as an image .*no known format"
    ) as caught:
        target.reader.read([P[0], P[1], b"not a picture"])
    assert "object at" not in str(caught.value)
    with pytest.raises(InputTypeError, match=r"sample 1: .*got NoneType"):
        target.reader.read([P[0], None])


def test_fault_42_in_fit_and_explain(tmp_path: Path) -> None:
    rows: list[Any] = [{"image": p} for p in P]
    rows[17] = {"image": b"not a picture"}
    with pytest.raises(InputError, match=r"row 17 of.*13 bytes") as caught:
        fit(eye(), rows, processor=SQUARE, output_dir=tmp_path / "a", **S)
    assert "object at" not in str(caught.value)
    explainer = fit(eye(), P, processor=SQUARE, output_dir=tmp_path / "b", **S)
    with pytest.raises(InputError, match="sample 2"):
        explainer.explain([P[0], P[1], b"not a picture"])


def test_kind_no_external_program_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: Any, **__: Any) -> None:
        raise AssertionError("Ghostscript was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", started)
    data = encoded(own.photo(20, 10), "EPS")
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    for source in (path, str(path), data, {"bytes": data}, io.BytesIO(data)):
        with pytest.raises(InputError, match="PostScript"):
            read_image(source)
    with pytest.raises(InputError, match="EPS is none of the formats"):
        read_image(Image.open(path))
    for start, kind in ((b"%PDF-1.7", "PDF"), (b"<svg xmlns=''/>", "SVG"), (b"\xd7\xcd\xc6\x9a....", "WMF")):
        with pytest.raises(InputError, match=kind):
            read_image(start)


@pytest.mark.parametrize(
    "kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "DIB", "JPEG2000", "AVIF"]
)
def test_kind_formats_that_are_read(kind: str) -> None:
    try:
        data = encoded(Image.new("RGB", (32, 32), (200, 100, 50)), kind)
    except (KeyError, OSError):
        pytest.skip(f"Pillow was built without {kind}")
    pixel = read_image(data).convert("RGB").getpixel((16, 16))
    assert np.abs(np.subtract(pixel, (200, 100, 50))).max() < 12


def test_kind_declared_sizes_are_compared_with_limits_first(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = png_of(9_000, 9_000)
    start = time.perf_counter()
    for source in (huge, io.BytesIO(huge), Image.open(io.BytesIO(huge))):
        with pytest.raises(InputError, match=r"9000×9000 pixels.*50,000,000.*SIDELIGHT_MAX_PIXELS"):
            read_image(source)
    with pytest.raises(InputError, match="MAX_IMAGE_PIXELS"):  # beyond Pillow's own limit, too
        read_image(png_of(60_000, 60_000))
    # an icon whose directory says 16×16 and whose picture says otherwise
    inner = png_of(30_000, 30_000)
    icon = (
        struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 22) + inner
    )
    with pytest.raises(InputError, match="30000×30000"):
        read_image(icon)
    assert time.perf_counter() - start < 5
    monkeypatch.setenv("SIDELIGHT_MAX_PIXELS", "100")
    with pytest.raises(InputError, match="limit of 100 "):
        read_image(encoded(own.photo(20, 20)))
    assert read_image(encoded(own.photo(10, 10))).size == (10, 10)
    assert read_image(own.photo(20, 20)).size == (20, 20)  # in memory already
    monkeypatch.setenv("SIDELIGHT_MAX_BYTES", "50")
    with pytest.raises(InputError, match=r"limit of 50 bytes.*SIDELIGHT_MAX_BYTES"):
        read_image(encoded(own.photo(10, 10)))
    monkeypatch.setenv("SIDELIGHT_MAX_BYTES", "many")
    with pytest.raises(SidelightError, match="SIDELIGHT_MAX_BYTES must be a whole number"):
        read_image(encoded(own.photo(10, 10)))


def test_kind_a_line_of_pixels_is_not_blown_up() -> None:
    line = Image.new("RGB", (60_000, 1))
    for transform in (
        ImageTransform((224, 224), crop=True, resize_to=224),
        as_transform(own.made("CLIPImageProcessorPil")),
        as_transform(own.made("ViTImageProcessorPil", size={"shortest_edge": 224}, default_to_square=False)),
    ):
        with pytest.raises(InputError, match="60000×1 pixels"):
            transform(line)  # type: ignore[misc]
    with pytest.raises(InputError, match="the size of ViTImageProcessorPil"):
        as_transform(own.made("ViTImageProcessorPil", size={"height": 50_000, "width": 50_000}))


def test_kind_the_first_frame_of_an_animation_and_no_other() -> None:
    frames = [Image.new("RGB", (12, 12), (c, 0, 0)) for c in range(40, 240, 2)]
    for kind in ("GIF", "WEBP", "TIFF", "PNG"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        red = read_image(data).convert("RGB").getpixel((5, 5))[0]  # type: ignore[index]
        assert abs(red - 40) <= 4


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_kind_damaged_files_are_clear_errors() -> None:
    rng = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "ICO", "PPM"):
        whole = encoded(own.photo(40, 40), kind)
        for _ in range(25):
            data = bytearray(whole)
            for place in rng.integers(0, len(data), 6):
                data[place] = rng.integers(0, 256)
            with suppress(SidelightError):  # nothing else comes out
                read_image(bytes(data[: rng.integers(1, len(data) + 1)]))


def test_kind_text_chunks_that_unfold() -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    whole = encoded(own.photo(8, 8))
    bomb = chunk(b"zTXt", b"k\0\0" + zlib.compress(b"0" * 30_000_000))
    with pytest.raises(InputError, match="cannot read"):
        read_image(whole[:33] + bomb + whole[33:])


def test_kind_paths_that_are_no_files(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe.png"
    os.mkfifo(fifo)
    cases = {
        str(fifo): "no regular file",
        "/dev/zero": "no regular file",
        "": r"path of an image is empty",
        "https://example.org/a/b.png": r"'https://example\.org/a/b\.png' is a URL",
        "file:///tmp/a.png": r"'file:///tmp/a\.png' is a URL",
        "data:image/png;base64,AAAA": "is a URL",
        "x" * 5_000: "cannot be opened",
        "a\0b": "cannot be opened",
        str(tmp_path): "is a folder",
    }
    for path, message in cases.items():
        with pytest.raises(InputError, match=message):
            read_image(path)
    with pytest.raises(InputError, match="is a URL"):
        read_image(Path("https://example.org/a.png"))


def test_kind_open_files_and_rows(tmp_path: Path) -> None:
    data = encoded(own.photo(9, 7))
    path = tmp_path / "a.png"
    path.write_bytes(data)
    written = io.BytesIO()
    own.photo(9, 7).save(written, "PNG")  # stands at its end
    with path.open("rb") as file, path.open(encoding="latin-1") as text:
        for source in (
            file,
            written,
            bytearray(data),
            memoryview(data),
            {"bytes": data},
            {"path": str(path)},
        ):
            assert np.array_equal(np.asarray(read_image(source)), np.asarray(own.photo(9, 7)))
        with pytest.raises(InputTypeError, match="mode 'rb'"):
            read_image(text)
    with pytest.raises(InputError, match="neither"):
        read_image({"bytes": None, "path": None})


# -- pixels -----------------------------------------------------------------------------


def test_kind_raw_pixels_in_place_of_normalised_ones(tmp_path: Path) -> None:
    explainer = fit(eye(), P, processor=SQUARE, output_dir=tmp_path, **S)
    raw = torch.stack([torch.from_numpy(np.asarray(p).copy()).permute(2, 0, 1) for p in P[:4]])
    with pytest.raises(InputError, match=r"from 0 to 255.*from -1 to 1.*not normalised"):
        explainer.explain(raw.float())
    with pytest.raises(InputError, match="not normalised"):
        explainer.explain({"pixel_values": raw.float()})
    with pytest.raises(InputTypeError, match="floating point"):
        explainer.explain(raw)
    with pytest.raises(InputTypeError, match="floating point"):
        explainer.explain([raw[0], P[0]])
    with pytest.raises(InputError, match="not normalised"):
        fit(eye(), raw.float(), processor=SQUARE, output_dir=tmp_path / "b", **S)
    target = explainer.target
    for fine in (SQUARE(P[0])[None], torch.randn(1, 3, 32, 32) * 1.5, raw[:1].float() / 127.5 - 1):
        target.check({"pixel_values": fine})
    ImageTarget(eye(), None).check({"pixel_values": raw.float()})  # nothing is known of its range
    for odd in (torch.zeros(1, 3, 32, 32).to_sparse(), torch.zeros(1, 3, 32, 32, device="meta")):
        with pytest.raises(InputTypeError, match="dense"):
            target.check({"pixel_values": odd})


IMAGENET = ImageTransform((32, 32), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
PLAIN = ImageTransform((32, 32), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
GREY = ImageTransform((32, 32), mode="L", mean=(0.1307,), std=(0.3081,))


def told_of_range(target: Any, pixels: Tensor) -> list[str]:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        target.check({"pixel_values": pixels})
    return [str(w.message) for w in told if w.category is PixelRangeWarning]


@pytest.mark.parametrize("transform", [SQUARE, IMAGENET, GREY], ids=["half", "imagenet", "grey"])
def test_kind_pixels_between_0_and_1_in_place_of_normalised_ones(transform: ImageTransform) -> None:
    target = ImageTarget(eye(num_channels=transform.channels), transform)
    scaled = ImageTransform(
        (32, 32), transform.mode, (0.0,) * transform.channels, (1.0,) * transform.channels
    )
    given = torch.stack([scaled(p) for p in P[:4]])
    for pixels in (given, given[:1], given.half(), nn.functional.avg_pool2d(given, 3, 1, 1)):
        (told,) = told_of_range(target, pixels)
        assert re.search(r"between 0 and 1.*processor\(images=", told)
    right = torch.stack([transform(p) for p in P[:4]])
    bright = transform(Image.fromarray(np.asarray(P[0]) // 4 + 170))
    for fine in (right, bright[None], right + 0.1 * torch.randn_like(right), torch.zeros_like(right)):
        assert not told_of_range(target, fine)


def test_kind_normalised_pixels_where_the_model_takes_0_to_1() -> None:
    target = ImageTarget(eye(), PLAIN)
    assert "far beyond" in told_of_range(target, torch.stack([IMAGENET(p) for p in P[:4]]))[0]
    assert not told_of_range(target, torch.stack([PLAIN(p) for p in P[:4]]))
    assert not told_of_range(ImageTarget(eye()), torch.rand(2, 3, 32, 32))  # nothing is known of its range


def test_kind_odd_pixels_are_told_once_in_a_call(tmp_path: Path) -> None:
    explainer = fit(eye(), P, processor=SQUARE, output_dir=tmp_path, **S)
    pixels = torch.stack([PLAIN(p) for p in P[:6]])
    calls: list[Callable[[], Any]] = [
        lambda: explainer.explain(pixels, batch_size=2),
        lambda: explainer.explain(pixels[0]),
        lambda: explainer.explain({"pixel_values": pixels}, batch_size=2),
        lambda: fit(eye(), pixels.repeat(7, 1, 1, 1), processor=SQUARE, output_dir=tmp_path / "b", **S),
    ]
    for call in calls:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            call()
        assert [w.category for w in told].count(PixelRangeWarning) == 1


def test_kind_a_tensor_with_its_channels_last_is_told_how_to_turn_it() -> None:
    target = ImageTarget(eye(), SQUARE)
    with pytest.raises(InputError, match=r"channels come last.*permute\(0, 3, 1, 2\)"):
        target.check({"pixel_values": torch.zeros(2, 32, 32, 3)})
    with pytest.raises(InputError, match="Convert the image"):
        target.check({"pixel_values": torch.zeros(2, 1, 32, 32)})


def test_kind_a_list_of_tensors_and_pictures() -> None:
    target = ImageTarget(eye(), SQUARE)
    mixed = target.reader.read([SQUARE(P[0]), P[1]]).inputs["pixel_values"]
    assert torch.equal(mixed, target.reader.read([P[0], P[1]]).inputs["pixel_values"])


def dinov2() -> Any:
    config = Dinov2Config(
        image_size=32, patch_size=8, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_labels=3
    )
    return Dinov2ForImageClassification(config).eval()


class Net(nn.Module):
    """A plain classifier that fails as it is told."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.stem, self.head, self.error = nn.Conv2d(3, 8, 3, 2), nn.Linear(8 * 15 * 15, 3), error

    def forward(self, x: Tensor) -> Tensor:
        if self.error is not None:
            raise self.error
        return self.head(self.stem(x).relu().flatten(1))


def test_kind_pictures_that_the_model_cannot_take() -> None:
    target = ImageTarget(dinov2(), SQUARE)
    with pytest.raises(InputError, match=r"shape 3×4×4.*takes 3×32×32"):
        target.encode({"pixel_values": torch.zeros(1, 3, 4, 4)})
    for processor in (None, SQUARE):
        plain = ImageTarget(Net(), processor, layers=["stem"])
        with pytest.raises(InputError, match="cannot take pixels of shape 3×20×20"):
            plain.encode({"pixel_values": torch.zeros(1, 3, 20, 20)})


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered, size of the grid"),
        torch.OutOfMemoryError("CUDA out of memory, tried to allocate size 3"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: size 8"),
        RuntimeError("the shape of my cache is wrong"),
    ],
)
def test_kind_errors_that_are_not_the_pictures_are_passed_on(error: Exception) -> None:
    target = ImageTarget(Net(error), SQUARE, layers=["stem"])
    with pytest.raises(type(error)) as caught:
        target.encode({"pixel_values": torch.zeros(1, 3, 32, 32)})
    assert caught.value is error


def test_kind_pixels_of_a_shape_that_the_model_takes_are_not_blamed() -> None:
    explainer = untrained(model := eye(), SQUARE, P[0])
    error, passes = RuntimeError("the device is lost"), []

    def lost_once(*_: Any) -> None:
        passes.append(1)
        if len(passes) == 1:
            raise error

    model.register_forward_pre_hook(lost_once)
    with pytest.raises(RuntimeError, match="the device is lost") as caught:
        explainer.explain(P[:3])
    assert caught.value.__cause__ is error


def clear_in_its_palette() -> Image.Image:
    """A picture of palette colours, the left half of which is transparent by the palette alone."""
    pixels = np.full((24, 40, 4), (200, 40, 80, 255), np.uint8)
    pixels[:, :20, 3] = 0
    return Image.fromarray(pixels).quantize(4)


def test_kind_a_palette_may_hold_the_transparency() -> None:
    picture = clear_in_its_palette()
    found = SQUARE(picture)
    assert torch.equal(found, SQUARE(encoded(picture)))
    assert bool((found[:, :, :12] == 1).all())
    assert torch.equal(found, SQUARE(picture.convert("RGBA")))


@pytest.mark.parametrize("mode", ["P", "PA"])
def test_kind_other_palettes_are_other_pictures(mode: str) -> None:
    one, other = Image.new(mode, (8, 8)), Image.new(mode, (8, 8))
    one.putpalette([200, 0, 0])
    other.putpalette([0, 0, 200])
    assert value_digest(one) != value_digest(other)
    clear = clear_in_its_palette()
    opaque = clear.copy()
    opaque.putpalette(clear.getpalette())  # the same colours, without alpha
    assert value_digest(clear) != value_digest(opaque)


def test_kind_a_picture_closed_after_it_was_read(tmp_path: Path) -> None:
    P[0].save(tmp_path / "a.png")
    opened = Image.open(tmp_path / "a.png")
    opened.load()
    for picture in (opened, Image.new("RGB", (8, 8))):
        picture.close()
        with pytest.raises(InputError, match="was closed before it was read"):
            SQUARE(picture)
    with Image.open(tmp_path / "a.png") as kept:
        kept.load()
    assert torch.equal(SQUARE(kept), SQUARE(P[0]))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO, open])
def test_kind_a_pair_takes_a_picture_in_every_form_that_a_row_takes(kind: Any, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(P[0]))
    given = open(tmp_path / "a.png", "rb") if kind is open else kind(encoded(P[0]))  # noqa: SIM115
    target = make_target("fusion-resnet")
    assert target.reader.is_sample((given, "dull"))
    expected = target.reader.read([(P[0], "dull")]).inputs["pixel_values"]
    for sample in ((given, "dull"), {"image": given, "text": "dull"}):
        assert torch.equal(target.reader.read_samples([sample]).inputs["pixel_values"], expected)
    with pytest.raises(InputTypeError, match="the text of sample 0 is"):
        target.reader.read_samples([("dull", given)])
    if kind is open:
        given.close()


@pytest.mark.parametrize("kind", ["int64", ">u2", "bool", "int8"])
def test_kind_arrays_of_numbers_are_told_how_they_become_a_picture(kind: str) -> None:
    array = np.asarray(P[0]).astype(kind)
    with pytest.raises(
        InputTypeError, match=r"If 1 or True is white.*If 255 is white.*If 65535 is white"
    ) as said:
        SQUARE(array)
    for advice in re.findall(r"white: (.*?)\.(?: |$)", str(said.value)):
        assert SQUARE(eval(advice, {"array": array})).shape == (3, 32, 32)


def test_kind_a_picture_is_the_same_at_an_address_and_in_a_file(images: Explainer, tmp_path: Path) -> None:
    pipe = sidelight.pipeline(explainer=images)
    colours = np.random.default_rng(0).integers(0, 256, (24, 40, 4), dtype=np.uint8)
    colours[:, :20, 3] = 0
    deep = np.random.default_rng(1).integers(0, 65_536, (24, 40), dtype=np.uint16)
    for number, picture in enumerate((Image.fromarray(colours), Image.fromarray(deep))):
        path = tmp_path / f"{number}.png"
        picture.save(path)
        address = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
        one, other = pipe(address, top_k=None), pipe(str(path), top_k=None)
        assert [a["score"] for a in one] == [a["score"] for a in other]
        assert np.array_equal(one[0]["map"], other[0]["map"])
    with pytest.raises(InputError, match="base64"):
        pipe("data:image/png;base64,abcde")


def test_kind_a_folder_gives_the_pictures_of_every_format_that_is_opened(tmp_path: Path) -> None:
    Image.init()
    opened = {end for end, kind in Image.registered_extensions().items() if kind in FORMATS}
    opened -= {".pfm"}  # holds fractions of unknown range
    assert opened <= set(PICTURES)
    data = {end: encoded(P[0], Image.registered_extensions()[end]) for end in sorted(opened - {".mpo"})}
    for end, content in data.items():
        (tmp_path / f"a{end}").write_bytes(content)
    rows = rows_of(tmp_path)
    assert [Path(row["image"]).suffix for row in rows] == list(data)
    assert all(SQUARE(row["image"]).shape == (3, 32, 32) for row in rows)


@pytest.mark.parametrize("kept", [".ipynb_checkpoints", "__MACOSX", "cat/.thumbnails"])
def test_kind_pictures_that_other_programs_keep_for_themselves_are_no_rows(tmp_path: Path, kept: str) -> None:
    """They are copies, so a picture was explained, or learnt from, twice."""
    for place in ("cat", "dog", kept):
        (tmp_path / place).mkdir(exist_ok=True)
        P[0].save(tmp_path / place / "a.png")
    for rows in (rows_of(tmp_path), open_source(tmp_path, "folder", tmp_path / "out")):
        assert [Path(row["image"]).parent.name for row in rows] == ["cat", "dog"]


def test_kind_pictures_that_cannot_be_opened_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    P[0].save(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("no picture")
    assert len(rows_of(str(tmp_path))) == 1
    assert caplog.text == ""
    for name in ("b.heic", "c.HEIC", "d.svg", ".e.heic"):
        (tmp_path / name).write_bytes(b"unread")
    assert len(rows_of(str(tmp_path))) == 1
    assert "3 pictures of a format that is not opened (.heic, .svg)" in caplog.text


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("https://example.org/a.png", "is a URL, .* Download it"),
        ("/nowhere/a.png", "does not exist; give the path of an image"),
        ("", "is empty"),
        (os.path.dirname(__file__), "is a folder"),
    ],
)
def test_kind_an_image_of_a_pair_that_is_no_file_is_told_as_an_image_alone(image: str, told: str) -> None:
    target = make_target("fusion-resnet")
    for sample in ((image, "a red square"), {"image": image, "text": "a red square"}):
        with pytest.raises(InputError, match=f"the image of sample 1: .*{told}.*(image, text)"):
            target.reader.read([(P[0], "a red square"), sample])
