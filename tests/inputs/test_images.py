"""Reading pictures of every kind, and the transform against NumPy and Hugging Face's own processors."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sidelight.errors import InputError, InputTypeError
from sidelight.inputs.images import ImageTransform, as_transform, read_image


def picture(width: int = 37, height: int = 29, seed: int = 0) -> Image.Image:
    """Smooth colour with texture, so that a wrong filter or a shifted crop shows."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(seed).integers(0, 60, (height, width, 3))
    base = np.stack([x * 190 / width, y * 190 / height, (x + y) * 190 / (width + height)], -1)
    return Image.fromarray((base + noise).astype(np.uint8))


def normalised(array: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    out = np.empty((array.shape[2], *array.shape[:2]))
    for c in range(array.shape[2]):
        out[c] = (array[..., c].astype(np.float64) / 255 - mean[c]) / std[c]
    return torch.from_numpy(out).float()


def test_the_transform_by_hand() -> None:
    image = picture()
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    same = ImageTransform((29, 37), mean=mean, std=std)(image)
    torch.testing.assert_close(same, normalised(np.asarray(image), mean, std))

    stretched = ImageTransform((16, 20), mean=mean, std=std)(image)
    resized = np.asarray(image.resize((20, 16), Image.Resampling.BILINEAR))
    torch.testing.assert_close(stretched, normalised(resized, mean, std))

    cropped = ImageTransform((16, 16), mean=mean, std=std, crop=True, resize_to=20)(image)
    resized = np.asarray(image.resize((37 * 20 // 29, 20), Image.Resampling.BILINEAR))  # 25 × 20
    torch.testing.assert_close(cropped, normalised(resized[2:18, 4:20], mean, std))

    grey = ImageTransform((29, 37), "L", (0.1,), (0.3,))(image)
    torch.testing.assert_close(grey, normalised(np.asarray(image.convert("L"))[..., None], (0.1,), (0.3,)))


@pytest.mark.parametrize("size", [(8, 8), (10, 30), (31, 5)])
@pytest.mark.parametrize("shape", [(37, 29), (29, 37), (5, 300), (8, 8)])
def test_a_crop_never_shows_beyond_the_picture(size: tuple[int, int], shape: tuple[int, int]) -> None:
    white = Image.new("RGB", shape, (255, 255, 255))
    for resize_to in (None, 6, 40):
        pixels = ImageTransform(size, crop=True, resize_to=resize_to)(white)
        assert pixels.shape == (3, *size)
        assert bool((pixels == 1).all())


def test_display_undoes_the_transform() -> None:
    transform = ImageTransform((29, 37), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    shown = transform.to_display(transform(picture()))
    np.testing.assert_allclose(shown, np.asarray(picture()) / 255, atol=1e-6)
    low, high = transform.bounds()
    torch.testing.assert_close(transform(Image.new("RGB", (37, 29))), low.view(3, 1, 1).expand(3, 29, 37))
    assert bool((high > low).all())


def test_settings_round_trip_and_are_checked() -> None:
    for transform in (
        ImageTransform((8, 9)),
        ImageTransform((8, 9), "L", (0.5,), (0.2,), crop=True, resize_to=12, resample="bicubic"),
        ImageTransform((8, 9), crop=True, resize_to=(10, 12)),
    ):
        import json

        assert ImageTransform.from_dict(json.loads(json.dumps(transform.to_dict()))) == transform
    assert ImageTransform.from_dict({"size": [4, 4]}) == ImageTransform((4, 4))
    bad: list[dict[str, Any]] = [
        {"mode": "CMYK"},
        {"mean": (0.5,)},
        {"mode": "L"},
        {"resample": "cubic"},
        {"size": (0, 4)},
        {"resize_to": (2, 9), "crop": True},
        {"colour": 1},
    ]
    for options in bad:
        with pytest.raises(InputError):
            ImageTransform.from_dict({"size": (4, 4), **options})


def processors() -> list[Any]:
    from transformers.models.beit.image_processing_pil_beit import BeitImageProcessorPil
    from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
    from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil
    from transformers.models.mobilenet_v2.image_processing_pil_mobilenet_v2 import (
        MobileNetV2ImageProcessorPil,
    )
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    small = {"height": 24, "width": 24}
    return [
        ViTImageProcessorPil(),
        ViTImageProcessorPil(size=small, resample=3),
        ViTImageProcessorPil(size=small, do_normalize=False),
        ViTImageProcessorPil(size=small, rescale_factor=1 / 127.5),
        ViTImageProcessorPil(size=small, do_rescale=False),
        DeiTImageProcessorPil(),
        DeiTImageProcessorPil(size={"height": 32, "width": 28}, crop_size=small),
        BeitImageProcessorPil(),
        BeitImageProcessorPil(size={"height": 32, "width": 32}, crop_size=small, do_center_crop=True),
        ConvNextImageProcessorPil(size={"shortest_edge": 24}),
        ConvNextImageProcessorPil(size={"shortest_edge": 384}),
        MobileNetV2ImageProcessorPil(),
        MobileNetV2ImageProcessorPil(size={"shortest_edge": 27}, crop_size={"height": 24, "width": 20}),
    ]


@pytest.mark.parametrize("index", range(13))
def test_a_transform_read_from_a_processor_does_what_the_processor_does(index: int) -> None:
    processor = processors()[index]
    transform = as_transform(processor)
    assert transform is not None
    for shape in [(37, 29), (60, 91), (24, 24), (224, 224)]:
        image = picture(*shape)
        expected = torch.as_tensor(np.asarray(processor(image)["pixel_values"]))[0].float()
        given = transform(image)
        assert given.shape == expected.shape
        scale = float(expected.max() - expected.min())
        torch.testing.assert_close(given, expected, rtol=1e-5, atol=1e-5 * max(1.0, scale))
        assert ImageTransform.from_dict(transform.to_dict()) == transform


def test_what_is_no_processor_is_refused() -> None:
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    assert as_transform(None) is None
    kept = ImageTransform((4, 4))
    assert as_transform(kept) is kept
    with pytest.raises(InputTypeError, match="got dict"):
        as_transform({"size": 3})
    # one that does not resize is taken, and gives each picture its own size
    kept_size = as_transform(ViTImageProcessorPil(do_resize=False))
    assert kept_size is not None
    assert kept_size.size is None
    assert kept_size(picture(9, 7)).shape == (3, 7, 9)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


PLAIN = ImageTransform((29, 37), mean=(0.0,) * 3, std=(1.0,) * 3)


def test_every_kind_of_source_gives_the_same_pixels(tmp_path: Path) -> None:
    image = picture()
    expected = PLAIN(image)
    data = encoded(image)
    (tmp_path / "a.png").write_bytes(data)
    for source in (
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        data,
        {"bytes": data, "path": "elsewhere.png"},
        {"bytes": None, "path": str(tmp_path / "a.png")},
        np.asarray(image),
        np.asarray(image)[::-1][::-1],
    ):
        assert torch.equal(PLAIN(source), expected)
    grey = np.asarray(image.convert("L"))
    assert torch.equal(PLAIN(grey), PLAIN(grey[..., None]))


def test_transparent_pictures_lie_on_white() -> None:
    image = picture()
    alpha = np.zeros((29, 37), np.uint8)
    alpha[:, :20] = 255
    rgba = Image.fromarray(np.dstack([np.asarray(image), alpha]))
    expected = PLAIN(image)
    for source in (rgba, encoded(rgba), np.asarray(rgba)):
        pixels = PLAIN(source)
        assert torch.equal(pixels[..., :20], expected[..., :20])
        assert bool((pixels[..., 20:] == 1).all())
    la = rgba.convert("LA")
    assert bool((PLAIN(la)[..., 20:] == 1).all())
    palette = Image.new("P", (37, 29), 0)
    palette.putpalette([200, 0, 0, 0, 0, 200])
    palette.paste(1, (0, 0, 20, 29))
    pixels = PLAIN(encoded(palette, transparency=0))
    assert bool((pixels[..., 20:] == 1).all())
    assert pixels[:, 0, 0].tolist() == pytest.approx([0, 0, 200 / 255])
    deep = np.full((29, 37), 51_400, np.uint16)
    deep[:, :20] = 51_401  # the same in 8 bits
    pixels = PLAIN(encoded(Image.fromarray(deep), transparency=51_400))
    assert bool((pixels[..., 20:] == 1).all())
    assert pixels[:, 0, 0].tolist() == pytest.approx([200 / 255] * 3)
    keyed = Image.new("RGB", (37, 29), (10, 20, 30))
    assert bool((PLAIN(encoded(keyed, transparency=(10, 20, 30))) == 1).all())


def test_colour_modes() -> None:
    image = picture()
    palette = image.quantize(8)
    assert torch.equal(PLAIN(encoded(palette)), PLAIN(palette.convert("RGB")))
    cmyk = Image.new("CMYK", (37, 29), (0, 255, 255, 0))
    red = PLAIN(encoded(cmyk, "JPEG", quality=100))[:, 10, 10]
    assert red.tolist() == pytest.approx([1, 0, 0], abs=0.03)
    bilevel = Image.new("1", (37, 29), 1)
    assert bool((PLAIN(encoded(bilevel)) == 1).all())


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 37 * 29).reshape(29, 37).astype(np.uint16)
    image = Image.fromarray(ramp)
    expected = torch.from_numpy((ramp >> 8).astype(np.float32) / 255)
    for source in (image, encoded(image), encoded(image, "TIFF"), image.convert("I")):
        for channel in PLAIN(source):
            torch.testing.assert_close(channel, expected, atol=1e-6, rtol=0)
    with pytest.raises(InputError, match="floating-point pixels"):
        PLAIN(Image.new("F", (37, 29)))
    with pytest.raises(InputError, match="32-bit pixels"):
        PLAIN(Image.new("I", (37, 29), 1_000_000))


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("bits", [8, 16])
def test_grey_that_is_stored_with_white_as_zero(bits: int, orientation: int) -> None:
    ramp = np.linspace(0, 2**bits - 1, 37 * 29).reshape(29, 37).astype(f"uint{bits}")
    shown = PLAIN(encoded(Image.fromarray(ramp), "TIFF", tiffinfo={274: orientation}))
    # Pillow writes 16 bits as they are, whatever the tag says
    stored = Image.fromarray(ramp if bits == 8 else 65535 - ramp)
    turned = PLAIN(encoded(stored, "TIFF", tiffinfo={262: 0, 274: orientation}))
    torch.testing.assert_close(turned, shown, atol=1.01 / 255, rtol=0)


def test_whole_numbers_that_may_have_eight_bits_or_sixteen_are_refused() -> None:
    dark = np.full((29, 37), 200, np.int32)
    with pytest.raises(InputError, match="whether white is 255 or 65535"):
        PLAIN(Image.fromarray(dark))
    black = PLAIN(Image.fromarray(dark.astype(np.uint16)))
    assert float(black.max()) == 0.0  # 16 bits are known, and 200 of 65,535 are none of 255
    assert bool((PLAIN(Image.fromarray(0 * dark)) == 0).all())
    assert float(PLAIN(Image.fromarray(dark.astype(np.uint8))).max()) == pytest.approx(200 / 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_upright(orientation: int) -> None:
    upright = picture()
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # stored so that a turn by 270° makes it upright
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(turns[orientation]) if orientation in turns else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, exif=exif)
    assert torch.equal(PLAIN(data), PLAIN(upright))
    opened = read_image(Image.open(io.BytesIO(data)))
    assert torch.equal(PLAIN(opened), PLAIN(upright))  # not turned twice


def test_unreadable_files_are_clear_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(picture(200, 200), "JPEG")
    sources = {
        "text.png": b"this is no image",
        "empty.png": b"",
        "cut.jpg": data[: len(data) // 2],
        "cut.png": encoded(picture(200, 200))[:3000],
    }
    for name, content in sources.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"cannot read .*{name}.* as an image"):
            read_image(tmp_path / name)
    with pytest.raises(InputError, match="cannot read"):
        PLAIN(Image.open(tmp_path / "cut.jpg"))  # opened lazily by the user
    with pytest.raises(InputError, match=r"nowhere\.png.*does not exist"):
        read_image(tmp_path / "nowhere.png")
    with pytest.raises(InputError, match="is a folder"):
        read_image(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match="cannot read"):
        read_image(encoded(picture(200, 200)))


def test_other_things_are_refused_by_type() -> None:
    bad: list[Any] = [
        None,
        3,
        {},
        torch.zeros(3, 4, 4),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((3, 4, 40), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
    ]
    for source in bad:
        with pytest.raises(InputTypeError):
            read_image(source)
    with pytest.raises(InputError, match="empty image"):
        read_image(Image.new("RGB", (0, 4)))


def test_a_transform_of_another_library_is_told_how_to_be_given() -> None:
    class Compose:
        def __call__(self, picture: Any) -> Any:
            return picture

    with pytest.raises(
        InputTypeError, match=r"got Compose\. .*ImageTransform\(size, mean=.*'pixel_values': tensor"
    ):
        as_transform(Compose())
