"""sidelight in Captum: smoothed attributions, how faithful and how stable they are, and a picture."""

from captum.attr import NoiseTunnel, visualization
from captum.metrics import infidelity, sensitivity_max
from tiny import image_explainer, pictures

from sidelight import SidelightAttribution

explainer = image_explainer()
scores, effects = (SidelightAttribution(explainer, reading) for reading in ("scores", "effects"))
pixels, _ = scores.tensors(pictures(4, seed=1))
target = [0, 1, 0, 1]

smooth = NoiseTunnel(scores).attribute(pixels, nt_samples=8, stdevs=0.1, target=target)
print("attributions", tuple(smooth.shape))


def a_little_less(inputs):
    return 0.1 * inputs, 0.9 * inputs


found = effects.attribute(pixels, target)  # signed, in units of probability
print("infidelity ", infidelity(effects.forward_func, a_little_less, pixels, found, target=target).tolist())
print("sensitivity", sensitivity_max(scores.attribute, pixels, n_perturb_samples=4, target=target).tolist())

shown, picture = (x[0].permute(1, 2, 0).numpy() for x in (smooth, (pixels + 1) / 2))
figure, _ = visualization.visualize_image_attr(shown, picture, "blended_heat_map", use_pyplot=False)
figure.savefig("in-captum.png")
