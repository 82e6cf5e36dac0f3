"""The answer of the library: a score for each feature, beside the model's prediction."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sidelight.core.files import as_utf8, file_path, no_number
from sidelight.core.guard import public, public_class
from sidelight.core.shown import Drawable
from sidelight.errors import CheckpointError, InputError, for_terminal
from sidelight.explanations.checks import (
    Maps,
    class_of,
    like_scores,
    probabilities_of,
    probability_of,
    real_numbers,
    remarks,
    require_known,
    require_parts,
    require_words,
    unit_scores,
    words,
)
from sidelight.explanations.origins import origin_of
from sidelight.explanations.plain import listed, listed_significant, plain_value
from sidelight.explanations.saving import data_to_read, places, write

if TYPE_CHECKING:  # matplotlib is slow to import and most callers never plot
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

#: fields of every file, and those that files of the first version do not have
FIELDS = ("scores", "inputs", "prediction", "label", "probability", "probabilities", "method", "target")
LATER = ("explained", "versus", "ranking", "effects")
FORMAT = "sidelight.explanation"
VERSION = 1


@public_class
@dataclass(eq=False)
class Explanation:
    """The map of one sample, and the prediction that it explains. :meth:`Explainer.explain` makes it.

    Args:
        scores: modality name -> scores in [0, 1]. Image ``[H, W]``, text ``[T]``.
        inputs: modality name -> the input as a person sees it. Image floats ``[H, W, 1]``
            or ``[H, W, 3]`` in [0, 1], text a list of ``T`` strings.
        prediction: index of the predicted class.
        label: name of that class.
        probability: probability of that class, in [0, 1].
        probabilities: ``[K]`` probabilities of all classes, or ``None``. Of independent labels they need not sum to 1.
        method: name of the method that made the map.
        target: name of the classifier.
        meta: remarks and measurements, as plain data. They are saved too.
        explained: index of the class of the map. Default: the prediction.
        versus: index of the class that it is compared with, if there is one.
        ranking: modality name -> numbers of the scores' shape. The larger, the earlier a feature comes. Use these to
            remove or keep features in order, because ``scores`` may be tied.
        effects: modality name -> numbers of the scores' shape: how much each feature changes the probability of the
            class, with a sign. Negative ones are evidence against it. ``None`` if the scorer has not learnt them.
        independent: whether each of the K labels is decided by itself. ``explained`` and ``versus`` may then be K or
            more: class ``K + l`` is "label ``l`` is not there".

    Raises:
        InputError: a score is not finite or outside [0, 1], there is not one for each word, the probabilities are outside [0, 1] or do not sum to 1, the
            prediction is no class, or a name is no string.

    Example:
        >>> scores = {"text": np.array([0.1, 1.0])}
        >>> words = {"text": ["so", "happy"]}
        >>> Explanation(scores, words, prediction=1, label="positive", probability=0.9)
        Explanation('positive' 90.0%, text 2, by sidelight)
    """

    scores: Mapping[str, np.ndarray]
    inputs: Mapping[str, Any]
    prediction: int
    label: str
    probability: float
    probabilities: np.ndarray | None = None
    method: str = "sidelight"
    target: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    explained: int | None = None
    versus: int | None = None
    ranking: Mapping[str, np.ndarray] | None = None
    effects: Mapping[str, np.ndarray] | None = None
    independent: bool = False

    def __post_init__(self) -> None:
        if not self.scores:
            raise InputError("an explanation needs scores of at least one modality; got none.")
        missing = sorted(set(self.scores) - set(self.inputs))
        if missing:
            raise InputError(
                f"no display input for {', '.join(missing)}; give inputs={{{missing[0]!r}: ...}}."
            )
        self.scores = Maps({name: unit_scores(name, values) for name, values in self.scores.items()})
        self.inputs = {
            name: [str(token) for token in value]
            if _is_text(value)
            else real_numbers(f"the {name} shown", value)
            for name, value in self.inputs.items()
        }
        if self.probabilities is not None:
            self.probabilities = probabilities_of(self.probabilities, self.independent)
        self.prediction = class_of(self.prediction, self.probabilities)
        self.probability = probability_of(self.probability)
        chosen = self.prediction if self.explained is None else self.explained
        self.explained = class_of(chosen, self.probabilities, "explained", self.independent)
        if self.versus is not None:
            self.versus = class_of(self.versus, self.probabilities, "versus", self.independent)
        self.ranking = like_scores("ranking", self.ranking, self.scores)
        self.effects = like_scores("effects", self.effects, self.scores)
        for name, scored in self.scores.items():
            require_words(name, scored, self.inputs[name])
        self.meta = remarks(self.meta)
        self.label, self.method, self.target = (
            words(name, getattr(self, name)) for name in ("label", "method", "target")
        )

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities that have scores."""
        return tuple(self.scores)

    @property
    def explained_label(self) -> str:
        """Name of the class of the map. If only its index is known, the index."""
        if self.explained == self.prediction:
            return self.label
        return str(self.meta.get("explained_label", self.explained))

    @property
    def versus_label(self) -> str | None:
        """Name of the class that the map is compared with, or ``None``. If only its index is known, the index."""
        return None if self.versus is None else str(self.meta.get("versus_label", self.versus))

    @property
    def explained_probability(self) -> float | None:
        """Probability of the class that the maps are of, in [0, 1], as far as it is known."""
        if self.explained == self.prediction:
            return self.probability
        if self.probabilities is None or self.explained is None:
            return None
        count = len(self.probabilities)
        p = float(self.probabilities[self.explained % count])
        return p if self.explained < count else 1 - p

    @property
    def map(self) -> np.ndarray:
        """The scores of the only modality, of the shape ``[H, W]`` for an image and ``[T]`` for a text.

        Raises:
            InputError: there are several modalities.

        Example:
            >>> explainer.explain("photo.jpg").map.shape
            (32, 32)
        """
        if len(self.scores) > 1:
            raise InputError(
                f"this explanation has maps for {', '.join(self.scores)}; "
                f"choose one, e.g. .scores[{self.modalities[0]!r}]."
            )
        return next(iter(self.scores.values()))

    @public
    def widget(self) -> Any:
        """This explanation as a widget for notebooks, in which a person keeps, removes and types (needs the extra ``widget``).

        Returns:
            What ``Explainer.widget`` returns for the same input and class.

        Raises:
            InputError: the explanation does not know its explainer and input any more: it was loaded, copied or made by hand,
                or the explainer is gone. The message says what to call instead.
            MissingPackageError: anywidget is not installed.

        Example:
            >>> widget = explainer.explain("photo.jpg").widget()
        """
        return origin_of(self).widget()

    @public
    def plot(
        self,
        ax: Axes | None = None,
        *,
        figure: FigureBase | None = None,
        style: str | None = None,
        reading: Drawable = "scores",
    ) -> Figure:
        """Draw the maps on their inputs. The figure is returned, never shown.

        Args:
            ax: draw one panel here (one modality only).
            figure: draw the full view into this figure or subfigure.
            style: with ``ax``, how the scores are drawn. Images: ``"dim"`` (default) or ``"heat"``.
            reading: ``"scores"``, or ``"effects"``: what speaks for the class (orange) and against it (blue).

        Returns:
            The matplotlib figure drawn on.

        Raises:
            InputError: ``ax`` was given for several modalities or beside ``figure``, ``style`` without ``ax``, the style or
                reading is unknown, or there are no effects.

        Example:
            >>> explainer.explain("a dull film").plot(reading="effects").savefig("for-and-against.png")
        """
        from sidelight.viz.explanation import plot_explanation, plot_panel

        if ax is None and style is not None:
            raise InputError(f"style={style!r:.40} is for one panel. Give ax too, or leave style out.")
        if ax is not None and figure is not None:
            raise InputError("ax and figure are two places to draw in. Give one of them.")
        if ax is not None:
            return plot_panel(self, ax, style, reading)
        return plot_explanation(self, figure, reading)

    @public
    def to_html(self, reading: Drawable = "scores") -> str:
        """A self-contained HTML fragment of a reading as in :meth:`plot`: every text escaped, pictures inline.

        Raises:
            InputError: there is no such reading.

        Example:
            >>> fragment = explainer.explain("a dull film").to_html()
        """
        from sidelight.viz.explanation import explanation_html

        return explanation_html(self, reading)

    def _repr_html_(self) -> str | None:
        """For notebooks. ``None``, where a modality cannot be drawn, makes them show the line of text."""
        from sidelight.viz.explanation import can_draw

        return self.to_html() if can_draw(self) else None

    @public
    def save_html(self, path: str | os.PathLike[str], reading: Drawable = "scores") -> Path:
        """Write a small page with :meth:`to_html`, complete or not at all. Returns its path.

        Raises:
            InputError: there is no such reading.
            CheckpointError: the disk refused. An earlier file is left as it was.
            ForeignFileError: a file that sidelight did not write has this name.

        Example:
            >>> path = explainer.explain("a dull film").save_html("why.html")
        """
        from sidelight.viz.explanation import explanation_page
        from sidelight.viz.export import write_atomic

        place = file_path(path)
        write_atomic({place: as_utf8(explanation_page(self, reading))})
        return place

    @public
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON. Arrays become nested lists (scores to 6 digits, inputs to 4).

        A number in ``meta`` that is NaN or infinite becomes ``None``, as JSON has no such numbers.

        Example:
            >>> values = explainer.explain("a dull film").to_dict()
            >>> len(values["scores"]["text"]) == len(values["inputs"]["text"])
            True
        """
        return {
            "format": FORMAT,
            "version": VERSION,
            "method": self.method,
            "target": self.target,
            "prediction": self.prediction,
            "label": self.label,
            "probability": round(self.probability, 6),
            "probabilities": None if self.probabilities is None else listed(self.probabilities, 6),
            "scores": {name: listed(values, 6) for name, values in self.scores.items()},
            "inputs": {
                name: value if isinstance(value, list) else listed(value, 4)
                for name, value in self.inputs.items()
            },
            "meta": plain_value(self.meta),
            **self._more(),
        }

    def _more(self) -> dict[str, Any]:
        """Those values that earlier versions did not have, if they are set."""
        numbers = {"explained": self.explained, "versus": self.versus}
        maps = {"ranking": self.ranking, "effects": self.effects}
        return {
            **{
                k: v
                for k, v in numbers.items()
                if v is not None and (k != "explained" or v != self.prediction)
            },
            **{k: {m: listed_significant(a) for m, a in v.items()} for k, v in maps.items() if v is not None},
            **({"independent": True} if self.independent else {}),
        }

    @classmethod
    @public
    def from_dict(cls, values: Mapping[str, Any]) -> Explanation:
        """Inverse of :meth:`to_dict`. Unknown keys are ignored.

        Raises:
            CheckpointError: keys are missing or of the wrong kind, values are impossible, or a newer sidelight wrote it.

        Example:
            >>> values = json.loads(json.dumps(explainer.explain("a dull film").to_dict()))
            >>> Explanation.from_dict(values).to_dict() == values
            True
        """
        require_known(values, FORMAT, VERSION)
        require_parts(values)
        try:
            later: dict[str, Any] = {name: values.get(name) for name in LATER}
            later["independent"] = values.get("independent") is True
            return cls(
                **{name: values[name] for name in FIELDS}, meta=dict(values.get("meta") or {}), **later
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CheckpointError(f"the saved explanation is damaged: {error!r:.300}.") from error

    @public
    def save(self, path: str | os.PathLike[str], reading: Drawable = "scores") -> tuple[Path, Path]:
        """Write ``<path>.png`` and ``<path>.json``, each complete or not at all.

        An explanation that was saved under this name before is replaced, so give each its own name.

        Args:
            path: a name without ending, or a name that ends in ``.json``, ``.png``, ``.svg``, ``.pdf`` or ``.html``. The
                ending says which picture is made (default: PNG). If it is a folder, or ends in a slash, the files are
                called ``explanation``. Missing folders are made.
            reading: that the picture shows, as in :meth:`plot`. The data hold all of them.

        Returns:
            The paths of the picture and of the data, which is JSON in any case.

        Raises:
            InputError: ``path`` ends in a kind of file that sidelight does not write, e.g. ``.jpg``, or there is no such
                reading.
            CheckpointError: the disk refused, or ``path`` names no file. Earlier files are left as they were.
            ForeignFileError: a file that sidelight did not write has one of these names. Nothing is written.

        Example:
            >>> picture, data = explainer.explain("photo.jpg").save("why")
            >>> picture.name, data.name
            ('why.png', 'why.json')
        """
        return write(self, *places(path), reading)

    @classmethod
    @public
    def load(cls, path: str | os.PathLike[str]) -> Explanation:
        """Read what :meth:`save` wrote. The path may be that of either file, the name without ending, or the folder.

        Raises:
            CheckpointError: the file is missing, truncated or not an explanation.

        Example:
            >>> picture, data = explainer.explain("photo.jpg").save("why")
            >>> Explanation.load("why").map.shape
            (32, 32)
        """
        data = data_to_read(path)
        try:
            values = json.loads(data.read_text(encoding="utf-8"), parse_constant=no_number)
        except OSError as error:
            raise CheckpointError(f"cannot read {data}: {error.strerror or error}.") from error
        except ValueError as error:
            raise CheckpointError(f"{data} is not complete JSON ({error}); save the map again.") from error
        if not isinstance(values, dict):
            raise CheckpointError(f"{data} holds {type(values).__name__}, not a saved explanation.")
        return cls.from_dict(values)

    def __repr__(self) -> str:
        maps = ", ".join(f"{name} {'×'.join(map(str, v.shape))}" for name, v in self.scores.items())
        by = f"{self.method} on {self.target}" if self.target else self.method
        return f"Explanation({self.label!r} {self.probability:.1%}, {maps}, by {for_terminal(by)})"


def _is_text(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(token, str) for token in value)
