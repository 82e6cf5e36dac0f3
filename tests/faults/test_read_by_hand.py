"""What a newcomer meets who follows the guides by hand: words that name no argument, settings without effect."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from PIL import Image

from sidelight import ImageTransform
from sidelight.errors import InputError
from sidelight.inputs.image import ImageReader
from sidelight.rows.holdout import hold_out


def test_one_row_is_refused_by_the_name_that_the_guides_give_the_argument() -> None:
    with pytest.raises(InputError, match="give validation="):
        hold_out(1, None, 0)


def test_another_column_of_pictures_is_told_the_name_to_give() -> None:
    rows = [{"filename": Image.fromarray(np.zeros((8, 8, 3), np.uint8))}]
    with pytest.raises(InputError, match=r"holds \['filename'\]\. Rename one of them to 'image'"):
        ImageReader(ImageTransform((8, 8))).read(rows)


def test_a_mean_for_pixels_up_to_255_is_told(caplog: pytest.LogCaptureFixture) -> None:
    ImageTransform((8, 8), mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
    assert "divide both by 255" in caplog.text


@pytest.mark.parametrize("mean", [(0, 0, 0), (1, 1, 1), (0.485, 0.456, 0.406)])
def test_a_usual_mean_is_taken_without_a_word(
    mean: tuple[float, ...], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        ImageTransform((8, 8), mean=mean, std=(1, 1, 1))
    assert not caplog.text
