"""Scorers: small trained networks that read the states of a frozen target and score its input."""

from sidelight.scorers import image as _image  # registers the image decoder
from sidelight.scorers import text as _text  # registers the text decoder
from sidelight.scorers.base import Scorer, ScorerConfig
from sidelight.scorers.head import ScoreHead

del _image, _text
__all__ = ["ScoreHead", "Scorer", "ScorerConfig"]
