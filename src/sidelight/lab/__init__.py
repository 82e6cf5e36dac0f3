"""The laboratory: it trains classifiers, measures explanation methods and reports. Needs ``sidelight[lab]``."""

from sidelight.core.optional import require

require(("captum", "datasets", "jinja2", "pandas", "psutil", "scipy", "sklearn", "yaml"), "sidelight.lab")
