"""The picture of an ablation: a row a variant, maps as they are."""

from __future__ import annotations

import numpy as np
import pytest

from sidelight.errors import InputError
from sidelight.lab.figures.ablation import plot_variants
from sidelight.lab.figures.grid import GridSample
from sidelight.viz import to_png
from sidelight.viz.image import heat

RNG = np.random.default_rng(0)
PIXELS = RNG.random((12, 12, 3))
WORDS = ["a ", "truly ", "bad ", "$film$"]


def image(**changes) -> GridSample:
    maps = {"full": RNG.random((12, 12)), "faint": np.full((12, 12), 0.25) + 0.1 * RNG.random((12, 12))}
    return GridSample(**{"display": PIXELS, "maps": maps, "label": "$x$", "probability": 0.5, **changes})


def text(**changes) -> GridSample:
    maps = {"full": np.array([0.0, 0.2, 1.0, 0.5]), "faint": np.zeros(4)}
    return GridSample(**{"display": WORDS, "maps": maps, "label": "bad", "modality": "text", **changes})


@pytest.mark.parametrize("samples", [[image()], [text(), text()], [image(), text()]])
def test_a_row_a_variant_and_a_column_a_sample(samples: list[GridSample]) -> None:
    figure = plot_variants(samples, ["full", "faint"], {"faint": "collapsed"})
    assert len(figure.axes) == 3 * (1 + len(samples))
    names = [figure.axes[i * (1 + len(samples))].texts[0].get_text() for i in range(3)]
    assert names == ["input", "full", "faint"]
    assert [t.get_text() for t in figure.axes[-1 - len(samples)].texts] == ["faint", "collapsed"]
    assert to_png(figure).startswith(b"\x89PNG")


def test_maps_are_not_stretched() -> None:
    """A variant without rescaling must not look rescaled."""
    sample = image()
    figure = plot_variants([sample], ["faint"])
    drawn = np.asarray(figure.axes[3].images[0].get_array())
    np.testing.assert_allclose(drawn, heat(PIXELS.astype(np.float32), sample.maps["faint"]), atol=1e-6)


def test_a_wrong_prediction_is_marked() -> None:
    right, wrong = plot_variants([image(truth_label="$x$"), image(truth_label="y")], ["full"]).axes[1:3]
    assert right.title.get_color() != wrong.title.get_color()


@pytest.mark.parametrize(
    ("samples", "variants", "message"),
    [
        ([], ["full"], "got 0, 1"),
        ([image()], [], "got 1, 0"),
        ([image()], ["fulll"], "no map of 'fulll'; it has full, faint"),
        ([image(maps={"full": np.full((12, 12), 1.5)})], ["full"], r"must lie in \[0, 1\]"),
        ([image(maps={"full": np.full((12, 12), np.nan)})], ["full"], r"must lie in \[0, 1\]"),
        ([image(maps={"full": np.zeros((3, 3))})], ["full"], "like their image"),
    ],
)
def test_what_it_refuses(samples: list[GridSample], variants: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plot_variants(samples, variants)
