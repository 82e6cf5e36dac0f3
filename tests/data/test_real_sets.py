"""The real data sets, where they are: their columns, labels and sizes are what the loaders expect."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidelight.data.images import read_image
from sidelight.data.sets import DATASETS, find_folder, load_rows

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
SIZES = {"mnist": (28, 28), "cifar10": (32, 32), "imagenette": (224, 224)}


def data_dir(name: str) -> str | None:
    """The folder to load from, or a skip that says why."""
    if find_folder(name, None) is not None:
        return None
    if not (SHARED / name).is_dir():
        pytest.skip(f"{name} is neither under $SIDELIGHT_DATA nor in ../shared/data beside the checkout")
    return str(SHARED)


@pytest.mark.realdata
@pytest.mark.parametrize("name", sorted(SIZES))
def test_images_open_at_their_size_and_every_class_occurs(name: str) -> None:
    rows = load_rows(name, "validation", data_dir=data_dir(name), count=200)
    assert len(rows) == 200
    assert {int(r["label"]) for r in rows} == set(range(len(DATASETS[name].classes)))
    assert {read_image(r["image"]).size for r in rows.select(range(20))} == {SIZES[name]}
