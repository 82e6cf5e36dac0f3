"""One fill's name for several modalities."""

from __future__ import annotations

import pytest

from sidelight.errors import ConfigError, InputError, UnknownNameError
from sidelight.fills.base import COUNTERPARTS, FILLS, default_fills, pair_fills, require_unlike

BOTH = ("image", "text")


@pytest.mark.parametrize(
    ("name", "image", "text"),
    [
        ("zero", "zero", "zero"),
        ("mean", "mean", "mean"),
        ("noise", "noise", "random"),
        ("random", "noise", "random"),
        ("black+mask", "black", "mask"),
        ("noise+drop", "noise", "drop"),
        ("drop", "zero", "drop"),
    ],
)
def test_what_a_name_means_for_each(name: str, image: str, text: str) -> None:
    assert pair_fills(name, BOTH) == {"image": image, "text": text}


def test_every_fill_of_either_modality_has_its_counterpart() -> None:
    for modality in BOTH:
        for name in FILLS[modality]:
            assert pair_fills(name, BOTH)[modality] == name
    for modality, table in COUNTERPARTS.items():
        assert set(table.values()) <= set(FILLS[modality])
        assert not set(table) & set(FILLS[modality])


def test_one_modality_has_no_counterparts() -> None:
    assert pair_fills("blur", ["image"]) == {"image": "blur"}
    with pytest.raises(UnknownNameError, match="unknown text fill 'blur'"):
        pair_fills("blur", ["text"])


@pytest.mark.parametrize("name", ["nois", "zero+blurr", "random+noise"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown (image|text) fill"):
        pair_fills(name, BOTH)


def test_as_many_names_as_modalities() -> None:
    with pytest.raises(InputError, match=r"names 3 fills; the target has 2 modality\(ies\), image, text"):
        pair_fills("zero+zero+zero", BOTH)
    with pytest.raises(InputError, match="names 2 fills"):
        pair_fills("zero+zero", ["image"])


def test_two_names_of_the_same_fills_are_refused() -> None:
    require_unlike(["noise", "noise+drop", "black+random", "black"], BOTH)
    require_unlike(["noise", "mean"], ["image"])
    for names in (["mean", "mean"], ["noise", "random"], ["zero", "zero+zero"], ["blur+mean", "blur"]):
        with pytest.raises(
            ConfigError, match=f"{names[0]!r} and {names[1]!r}, which are the same".replace("+", r"\+")
        ):
            require_unlike(names, BOTH)


def test_defaults_of_pairs_hold_a_fill_that_is_not_constant() -> None:
    found = default_fills(BOTH)
    assert found == ["zero", "mean", "noise+random"]
    assert all(pair_fills(name, BOTH) for name in found)
    assert default_fills(["image"])[0] == "zero"
