"""Explanations in the terminal: every pixel and word in its place, coloured by its score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console

from sidelight import Explanation
from sidelight.lab.data.scenes import readable
from sidelight.lab.demo.terminal import COLUMNS, show


def printed(path: Path) -> list[str]:
    console = Console(force_terminal=True, color_system="truecolor", width=100)
    with console.capture() as found:
        console.print(show(path))
    return found.get().splitlines()


def test_a_picture_stands_beside_its_map(tmp_path: Path) -> None:
    image = np.zeros((40, 40, 1))
    image[:20] = 1  # white above, black below
    scores = np.zeros((40, 40))
    scores[:, 20:] = 1
    Explanation({"image": scores}, {"image": image}, 3, "three", 0.75).save(tmp_path / "map")
    title, *lines = printed(tmp_path / "map.png")
    assert "three (75.0%)" in title
    drawn = [line for line in lines if "▀" in line]
    assert [line.count("▀") for line in drawn] == [2 * COLUMNS] * (COLUMNS // 2)
    assert drawn[0].startswith("\x1b[38;2;255;255;255;48;2;255;255;255m")
    assert drawn[-1].startswith("\x1b[38;2;0;0;0;48;2;0;0;0m")


def test_words_have_their_scores_and_blanks_are_gaps(tmp_path: Path) -> None:
    words = readable(["a", " red", " [PAD]"])
    Explanation({"text": np.array([0.0, 1.0, 0.5])}, {"text": words}, 1, "match", 0.5).save(tmp_path / "map")
    line = printed(tmp_path / "map.json")[1]
    assert "48;2;255;255;255ma" in line
    assert "48;2;255;153;0m red" in line
    assert " ___" in line
    assert "PAD" not in line
