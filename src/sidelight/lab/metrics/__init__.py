"""How good is a map? Pure functions on batches, and :data:`METRICS` by name.

``B`` counts samples, ``N`` features, ``K`` steps of a curve, ``A`` areas, ``S`` sizes of a part and ``U`` units. Measures take
tensors, arrays or lists. If a real feature of a sample is NaN or infinite, the sample gets NaN.
"""

from sidelight.lab.metrics.base import METRICS, Evidence, Metric, default_metrics
from sidelight.lab.metrics.compactness import area, complexity, entropy, mean_score, sparsity
from sidelight.lab.metrics.faithfulness import (
    area_under_curve,
    average_drop,
    average_drop_relative,
    comprehensiveness,
    deletion_auc,
    flip_share,
    increase_in_confidence,
    insertion_auc,
    srg,
    sufficiency,
)
from sidelight.lab.metrics.granularity import GRANULARITIES, Granularity, granularity
from sidelight.lab.metrics.judged import fidelity_minus, fidelity_plus, single_deletion
from sidelight.lab.metrics.layout import Layout, make_layout, reduce_map
from sidelight.lab.metrics.localisation import auprc, f1, iou, pointing_game
from sidelight.lab.metrics.ranking import min_max, ranks

__all__ = [
    "GRANULARITIES",
    "METRICS",
    "Evidence",
    "Granularity",
    "Layout",
    "Metric",
    "area",
    "area_under_curve",
    "auprc",
    "average_drop",
    "average_drop_relative",
    "complexity",
    "comprehensiveness",
    "default_metrics",
    "deletion_auc",
    "entropy",
    "f1",
    "fidelity_minus",
    "fidelity_plus",
    "flip_share",
    "granularity",
    "increase_in_confidence",
    "insertion_auc",
    "iou",
    "make_layout",
    "mean_score",
    "min_max",
    "pointing_game",
    "ranks",
    "reduce_map",
    "single_deletion",
    "sparsity",
    "srg",
    "sufficiency",
]
