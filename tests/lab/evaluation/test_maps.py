"""Files of maps: written, read back, and refused with a word on what is wrong."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sidelight.errors import CheckpointError, InputError
from sidelight.lab.evaluation.map_files import MapFile, file_hash, read_maps, write_maps


def both(signed: bool = True) -> MapFile:
    rng = np.random.default_rng(0)
    draw = (lambda *s: rng.normal(size=s)) if signed else (lambda *s: rng.random(s))
    return MapFile(
        {
            "image": {i: draw(3, 4).astype(np.float32) for i in (0, 2, 5)},
            "text": {i: draw(n).astype(np.float32) for i, n in ((0, 4), (2, 1), (5, 7))},
        },
        signed,
    )


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
@pytest.mark.parametrize("signed", [True, False])
def test_what_is_written_is_read_back(suffix: str, signed: bool, tmp_path: Path) -> None:
    maps = both(signed)
    found = read_maps(write_maps(tmp_path / f"maps{suffix}", maps))
    assert found.signed is signed
    assert found.ids == [0, 2, 5]
    for modality, own in maps.maps.items():
        for i, values in own.items():
            read = found.maps[modality][i]
            assert read.dtype == np.float32
            np.testing.assert_array_equal(read.ravel(), values.ravel())
    # .npz keeps rows and columns, a parquet of ours lists pixels row by row
    assert found.maps["image"][2].shape == ((3, 4) if suffix == ".npz" else (12,))


def test_equal_content_equal_hash(tmp_path: Path) -> None:
    first, second = (write_maps(tmp_path / f"{n}.parquet", both()) for n in "ab")
    other = write_maps(tmp_path / "c.parquet", both(False))
    assert file_hash(first) == file_hash(second) != file_hash(other)


def test_files_made_by_hand(tmp_path: Path) -> None:
    """Integers, a channel axis, float64, nested lists, no word on the sign."""
    np.savez(tmp_path / "a.npz", ids=[1, 0], image=np.arange(12).reshape(2, 1, 2, 3))
    found = read_maps(tmp_path / "a.npz")
    assert not found.signed
    np.testing.assert_array_equal(found.maps["image"][1], [[0, 1, 2], [3, 4, 5]])
    rows = [
        {"id": 3, "modality": "text", "scores": [0.5, -1.0]},
        {"id": 3, "modality": "image", "scores": [[1.0, 2.0], [3.0, 4.0]]},
    ]
    for part in rows:
        pd.DataFrame([part]).to_parquet(tmp_path / f"{part['modality']}.parquet")
    text, image = (read_maps(tmp_path / f"{m}.parquet") for m in ("text", "image"))
    assert text.signed
    np.testing.assert_array_equal(text.maps["text"][3], np.float32([0.5, -1.0]))
    np.testing.assert_array_equal(image.maps["image"][3], [[1, 2], [3, 4]])
    assert read_maps(tmp_path / "image.parquet", signed=True).signed


IDS = np.arange(2)
GOOD = np.ones((2, 3, 3))
RISING = np.arange(18.0).reshape(2, 3, 3)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"image": GOOD}, "needs an entry 'ids'"),
        ({"ids": IDS}, "holds no maps"),
        ({"ids": IDS.astype(float), "image": GOOD}, "must be integers"),
        ({"ids": np.zeros(2, int), "image": GOOD}, r"distinct; \[0\]"),
        ({"ids": IDS, "imag": GOOD}, "Did you mean 'image'"),
        ({"ids": IDS, "image": GOOD[:1]}, r"each of the 2 ids.*\(1, 3, 3\)"),
        ({"ids": IDS, "text": np.ones(5)}, "'text_offsets' \\[3\\]"),
        ({"ids": IDS, "text": np.ones(5), "text_offsets": [0, 2, 4]}, "to the 5 scores"),
        ({"ids": IDS, "text": np.ones(5), "text_offsets": [0, 5]}, "in 3 steps"),
        ({"ids": IDS, "text": np.ones(5), "text_offsets": [0, 6, 5]}, "must rise"),
        ({"ids": IDS, "image": GOOD * [[[1]], [[np.nan]]]}, r"NaN or infinite values for id\(s\) \[1\]"),
        ({"ids": IDS, "image": GOOD * 1e300}, "infinite"),
        ({"ids": IDS, "image": GOOD * 1e300}, "cannot tell apart"),
        ({"ids": IDS, "image": RISING * [[[1]], [[1e-60]]]}, r"cannot tell apart .*id\(s\) \[1\].*Rescale"),
        ({"ids": IDS, "image": 1 + 1e-9 * RISING}, "all equal"),
        ({"ids": IDS, "image": -GOOD, "signed": False}, "scores below 0"),
        ({"ids": IDS, "image": np.full((2, 2, 2), "x")}, "no numbers"),
    ],
)
def test_npz_that_cannot_be_used(entries: dict[str, Any], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "maps.npz", **entries)
    with np.errstate(over="ignore"), pytest.raises(InputError, match=message):
        read_maps(tmp_path / "maps.npz")


def test_a_map_in_float64_that_is_even_but_for_rounding_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "maps.npz", ids=IDS, image=GOOD / 3 + 1e-17 * RISING)
    assert len(np.unique(read_maps(tmp_path / "maps.npz").maps["image"][1])) == 1


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_maps_that_float32_would_spoil_are_not_written(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot tell apart"):
        write_maps(tmp_path / f"maps{suffix}", MapFile({"image": {0: RISING[0] * 1e-60}}, False))


def test_object_arrays_are_never_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    ragged = np.array([Bomb(), None], dtype=object)
    np.savez(tmp_path / "maps.npz", ids=IDS, text=ragged)
    with pytest.raises(InputError, match="text_offsets"):
        read_maps(tmp_path / "maps.npz")
    assert not (tmp_path / "ran").exists()
    pickle.loads(pickle.dumps(Bomb()))  # it would have run
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"ids": 0, "modality": "text", "scores": [1.0]}], r"lacks the column\(s\) \['id'\]"),
        ([{"id": 0.5, "modality": "text", "scores": [1.0]}], "must be integers"),
        ([{"id": 0, "modality": "words", "scores": [1.0]}], "'words' is no modality"),
        ([{"id": 0, "modality": "text", "scores": [1.0]}] * 2, "id 0 has two maps"),
        ([{"id": 0, "modality": "text", "scores": 1.0}], "no list"),
        ([{"id": 7, "modality": "image", "scores": [[1.0], [1.0, 2.0]]}], r"id 7.*one length; got \[1, 2\]"),
        ([{"id": 7, "modality": "text", "scores": [1.0, float("inf")]}], r"id\(s\) \[7\]"),
    ],
)
def test_parquet_that_cannot_be_used(rows: list[dict[str, Any]], message: str, tmp_path: Path) -> None:
    pd.DataFrame(rows).to_parquet(tmp_path / "maps.parquet")
    with pytest.raises(InputError, match=message):
        read_maps(tmp_path / "maps.parquet")


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file of maps"):
        read_maps(tmp_path / "none.npz")
    with pytest.raises(InputError, match=r"\.npz or \.parquet"):
        read_maps(tmp_path / "maps.csv")
    with pytest.raises(InputError, match=r"\.npz or \.parquet"):
        write_maps(tmp_path / "maps.csv", both())
    for suffix in (".npz", ".parquet"):
        path = write_maps(tmp_path / f"maps{suffix}", both())
        path.write_bytes(path.read_bytes()[:40])
        with pytest.raises(InputError, match="truncated"):
            read_maps(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="could not write"):
        write_maps(tmp_path / "file" / "maps.npz", both())
