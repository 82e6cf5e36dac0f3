"""Numbers rounded to significant digits, whole arrays at once, and to digits after the point."""

from __future__ import annotations

import numpy as np

#: powers of ten that 64-bit floats hold exactly
_POWERS = np.array([float(f"1e{n}") for n in range(23)])


def significant(values: np.ndarray, digits: int = 6) -> np.ndarray:
    """``values`` rounded to so many significant digits, as ``float(f"{v:.6g}")`` rounds each of them.

    Args:
        values: numbers of any shape.
        digits: from 1 to 12.

    Returns:
        64-bit floats of the same shape.

    Example:
        >>> significant(np.array([0.0, 1 / 3, -1234567.0])).tolist()
        [0.0, 0.333333, -1234570.0]
    """
    found = np.asarray(values, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        power = digits - 1 - np.floor(np.log10(np.abs(found)))
        known = np.abs(power) < len(_POWERS)  # not of 0, infinity and NaN, nor of numbers of an extreme size
        power = np.where(known, power, 0).astype(np.int64)
        up, down = _POWERS[np.maximum(power, 0)], _POWERS[np.maximum(-power, 0)]
        # one rounding here and one below, as of a number that is read from its digits
        scaled = found * up / down
        rounded = np.rint(scaled) * down / up
        out, size = np.where(known, rounded, found), np.abs(scaled)
        # where the rounding of `scaled` may have changed the digits, Python decides
        far = np.abs(size - np.floor(size) - 0.5) > 1e-15 * 10.0**digits
    sure = known & far & (size >= 10.0 ** (digits - 1)) & (size < 10.0**digits)
    for place in np.argwhere(~sure & (found != 0)):
        out[tuple(place)] = float(f"{found[tuple(place)]:.{digits}g}")
    return out


def fixed(value: float, digits: int = 3) -> str:
    """``value`` with so many digits after the point. A number that is rounded to nothing has no sign.

    Example:
        >>> fixed(-0.0003), fixed(-0.0006), fixed(1.5, digits=1)
        ('0.000', '-0.001', '1.5')
    """
    return f"{round(value, digits) + 0.0:.{digits}f}"


def with_sign(value: float, digits: int = 2) -> str:
    """As :func:`fixed`, and with a plus before what is above zero.

    Example:
        >>> with_sign(0.62), with_sign(-0.62), with_sign(-0.001)
        ('+0.62', '-0.62', '0.00')
    """
    text = fixed(value, digits)
    return f"+{text}" if float(text) > 0 else text
