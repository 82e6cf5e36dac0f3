"""Pictures of maps, curves and comparisons. Figures are returned, never shown.

Each modality brings a :class:`~sidelight.viz.base.Renderer`; importing this package
registers all of them, so nothing else asks which modality it is drawing.
"""

from sidelight.viz import image, text
from sidelight.viz.ablation import plot_variants
from sidelight.viz.base import RENDERERS, Renderer
from sidelight.viz.critical_difference import plot_critical_difference
from sidelight.viz.curves import plot_curves
from sidelight.viz.export import to_data_uri, to_pdf, to_png, to_svg
from sidelight.viz.grid import GridSample, plot_grid
from sidelight.viz.radar import plot_radar
from sidelight.viz.scatter import plot_tradeoff

__all__ = [
    "RENDERERS",
    "GridSample",
    "Renderer",
    "image",
    "plot_critical_difference",
    "plot_curves",
    "plot_grid",
    "plot_radar",
    "plot_tradeoff",
    "plot_variants",
    "text",
    "to_data_uri",
    "to_pdf",
    "to_png",
    "to_svg",
]
