"""sidelight in Quantus: several metrics at once, ours beside Integrated Gradients."""

import numpy as np
import quantus
from tiny import image_explainer, pictures

from sidelight import as_quantus

explainer = image_explainer()
explain = as_quantus(explainer, reading="effects")
x = explainer.target.reader.read(pictures(8, seed=1)).inputs["pixel_values"].numpy()
y = np.array([0, 1] * 4)
quiet = {"disable_warnings": True, "display_progressbar": False}

results = quantus.evaluate(
    metrics={
        "faithfulness ↑": quantus.FaithfulnessCorrelation(subset_size=64, nr_runs=20, **quiet),
        "sparseness ↑": quantus.Sparseness(**quiet),
        "sensitivity ↓": quantus.MaxSensitivity(nr_samples=4, **quiet),
    },
    xai_methods={"sidelight": explain, "IntegratedGradients": {"method": "IntegratedGradients"}},
    model=explain.model,  # the explainer's own classifier, as Quantus calls models
    x_batch=x,
    y_batch=y,
    agg_func=np.mean,
    explain_func_kwargs={},
)
for method, values in results.items():
    print(f"{method:20}", {name: round(float(value), 3) for name, value in values.items()})
