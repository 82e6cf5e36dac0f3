"""From the module to a graph, and from the graph to a file."""

from __future__ import annotations

import inspect
import io
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sidelight.core.optional import optional, require
from sidelight.core.ownership import MARK
from sidelight.core.quiet import ignored_warnings
from sidelight.core.types import Inputs
from sidelight.errors import ExportError, first_line
from sidelight.export.examples import Axes
from sidelight.export.module import ExplainingModule

#: version of ONNX's operators. Every ONNX Runtime since 1.14 has it, in browsers too
OPSET = 18
#: bytes of weights that one ONNX file may hold
LARGEST = 2**31 - 2**24
#: packages of the extra `onnx`
PACKAGES = ("onnx", "onnxruntime", "onnxscript")
USE = "writing an ONNX file"

#: runs a written file on inputs
Runner = Callable[[Inputs], dict[str, Tensor]]


def traced(module: ExplainingModule, inputs: Inputs, axes: Axes) -> Any:
    """The ``torch.export.ExportedProgram`` of ``module``.

    Args:
        inputs: of the pass that is traced, the choice of classes included.
        axes: of each input, those that may have any size.

    Raises:
        ExportError: the model's pass cannot be traced.
    """
    dynamic = {name: dict.fromkeys(axes[name], torch.export.Dim.DYNAMIC) for name in inputs}
    named = NamedInputs(module, list(inputs))
    try:
        with torch.no_grad(), _plain_layers(module), _quiet():
            program = torch.export.export(named, (), dict(inputs), dynamic_shapes=dynamic, strict=False)
    except Exception as error:
        raise ExportError(
            f"the pass of {type(module.model).__name__} cannot be traced by torch.export: {first_line(error)}. Its "
            "forward may depend on the values of tensors, or fix the size of a batch."
        ) from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names folders of this machine, and takes room
    return program


class NamedInputs(nn.Module):
    """``inside`` with the ``names`` of its inputs as its only arguments. torch.export cannot name those of ``**inputs``."""

    def __init__(self, inside: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.inside = inside

        def forward(**inputs: Tensor) -> Any:
            return inside(**inputs)

        kind = inspect.Parameter.KEYWORD_ONLY
        forward.__signature__ = inspect.Signature([inspect.Parameter(n, kind) for n in names])  # type: ignore[attr-defined]
        self.forward = forward


@contextmanager
def _plain_layers(module: nn.Module) -> Iterator[None]:
    """Within the context torch's transformer layers take the path of single operations, which every format knows."""
    layers = [m for m in module.modules() if isinstance(m, nn.TransformerEncoderLayer)]
    before = [layer.activation_relu_or_gelu for layer in layers]
    for layer in layers:
        layer.activation_relu_or_gelu = 0
    try:
        yield
    finally:
        for layer, kind in zip(layers, before, strict=True):
            layer.activation_relu_or_gelu = kind


@contextmanager
def _quiet() -> Iterator[None]:
    """Within the context the exporter's remarks to its own developers are not shown."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with ignored_warnings(""):
            yield
    finally:
        logger.setLevel(level)


def write_onnx(
    program: Any,
    path: Path,
    inputs: Sequence[str],
    outputs: Sequence[str],
    axes: Axes,
    about: Mapping[str, str],
) -> None:
    """Write ``program`` as one ONNX file.

    Args:
        inputs, outputs: their names, in order.
        axes: names of the axes that may have any size, by input.
        about: metadata.

    Raises:
        ExportError: an operation has no counterpart in ONNX.
    """
    require(PACKAGES, USE, "onnx")
    try:
        with _quiet():
            found: Any = torch.onnx.export(
                program,
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:
        # the exporter's own message is a headline with advice for its developers
        reason = first_line(error.__cause__ or error).rstrip(".")
        raise ExportError(
            f"the graph cannot be written as ONNX, because the exporter of PyTorch fails at an operation of the model: {reason}. "
            "Export to model.pt2 instead, which torch.export.load opens."
        ) from error
    proto = found.model_proto
    proto.producer_name, proto.producer_version = MARK, about["sidelight_version"]
    for key, value in about.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    _name_axes(proto.graph, axes)
    for part in (*proto.graph.node, *proto.graph.value_info, *proto.graph.initializer):
        del part.metadata_props[:]  # notes for developers of the exporter, larger than a small graph
    path.write_bytes(proto.SerializeToString())


def _name_axes(graph: Any, axes: Axes) -> None:
    """Call the axes of any size by their names throughout ``graph``."""
    names: dict[str, str] = {}
    for value in graph.input:
        dims = value.type.tensor_type.shape.dim
        names |= {dims[axis].dim_param: name for axis, name in axes[value.name].items()}
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in names:
                dim.dim_param = names[dim.dim_param]


def write_pt2(program: Any, path: Path, about: Mapping[str, str]) -> None:
    """Write ``program`` for ``torch.export.load``, with ``about`` as an extra file."""
    with _LateRefusal(path, "wb") as file:
        torch.export.save(program, file, extra_files={f"{MARK}.json": json.dumps(dict(about))})
        if file.refused is not None:
            raise file.refused


class _LateRefusal(io.FileIO):
    """A file whose ``write`` never fails: if a write raises, e.g. on a full disk, torch's writer ends the process.

    Attributes:
        refused: the first error of the system. Nothing is written after it.
    """

    refused: OSError | None = None

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        while left and self.refused is None:
            try:
                left = left[super().write(left) or 0 :]
            except OSError as error:
                self.refused = error
        return size


def onnx_runner(path: Path) -> Runner:
    """Runs the ONNX file at ``path`` in ONNX Runtime."""
    runtime = optional("onnxruntime", USE, "onnx")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]

    def run(inputs: Inputs) -> dict[str, Tensor]:
        found = session.run(names, {name: value.numpy() for name, value in inputs.items()})
        return {name: torch.from_numpy(value) for name, value in zip(names, found, strict=True)}

    return run


def pt2_runner(path: Path, like: ExplainingModule) -> Runner:
    """Runs the file that :func:`write_pt2` wrote, on the device of ``like``."""
    with path.open("rb") as file:
        module = torch.export.load(file).module()

    def run(inputs: Inputs) -> dict[str, Tensor]:
        with torch.no_grad():
            return {name: value.cpu() for name, value in module(**like.moved(inputs)).items()}

    return run
