"""One explanation as a picture or as marked text. Figures are returned, never shown.

Each modality brings a :class:`~sidelight.viz.base.Renderer`. Importing this package
registers all of them, so no other module depends on the modality.
"""

from sidelight.viz import image, text
from sidelight.viz.base import RENDERERS, Renderer
from sidelight.viz.export import to_data_uri, to_pdf, to_png, to_svg

__all__ = ["RENDERERS", "Renderer", "image", "text", "to_data_uri", "to_pdf", "to_png", "to_svg"]
