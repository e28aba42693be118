"""A network as an ONNX file, for TensorRT, DirectML, CoreML and browsers."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from upscale_cli import atomic
from upscale_cli.errors import UsageError, WeightsError
from upscale_cli.networks import NetworkSpec
from upscale_cli.weights.cache import sha256_of
from upscale_cli.weights.load import LoadedWeights, local_path
from upscale_cli.weights.manifest import load_manifest
from upscale_cli.weights.resolve import built
from upscale_cli.weights.state_dict import in_half

OPSET = 17  # the first with layer normalisation
INPUT, OUTPUT = "input", "output"
INEXPRESSIBLE = {"enhancenet": "antialiased bicubic enlargement"}
SMALLEST_WINDOWS = 2  # in each direction: ONNX's Reshape misreads the empty parts of a picture of one window


def require_onnx() -> None:
    """Raise UsageError where the extra ``onnx`` is not installed."""
    if find_spec("onnx") is None:
        raise UsageError("Writing ONNX files needs an extra.", "Run: pip install 'upscale-cli[onnx]'")


def smallest_side(spec: NetworkSpec) -> int:
    """Return the least height and width that the exported network takes; both are multiples of ``size_multiple``."""
    return spec.size_multiple * SMALLEST_WINDOWS if spec.size_multiple > 1 else 1


def save_onnx(path: Path, weights: LoadedWeights, half: bool = False) -> None:
    """Write the network of ``weights``: (1, C, H, W) in [0, 1] to (1, C, scale·H, scale·W), H and W free.

    ``half``: weights, input and output in fp16. The metadata names what ``_metadata`` returns. Raises WeightsError
    for a network that ONNX cannot express or whose values fp16 cannot hold; OutputError; UsageError without the extra.
    """
    require_onnx()
    import onnx

    if missing := INEXPRESSIBLE.get(weights.spec.architecture):
        text = f"{weights.name} is of the architecture {weights.spec.architecture}: ONNX has no {missing}."
        raise WeightsError(text, "Choose another network.")
    if library := weights.spec.library:
        text = f"{weights.name} is opened by {library}: only networks of the program's own become ONNX files."
        raise WeightsError(text, "Choose another network.")
    dtype = torch.float16 if half else torch.float32
    if half:
        in_half(weights.tensors, weights.name)
    module = built(weights).module.to(dtype)
    with atomic.replacing(path) as temporary:
        side = max(weights.spec.size_multiple, 4)  # an example of several windows, higher than wide
        _trace(module, torch.rand(1, weights.spec.in_channels, 4 * side, 3 * side, dtype=dtype), temporary)
        model = onnx.load(temporary)
        onnx.helper.set_model_props(model, _metadata(weights, half))
        onnx.checker.check_model(model)
        onnx.save(model, temporary, format="protobuf")


def _trace(module: nn.Module, example: Tensor, path: Path) -> None:
    """Write the ONNX file of ``module``.

    By tracing: PyTorch's newer exporter reasons about the shapes of shifted windows for minutes.
    """
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # that tracing is old, and that sizes became part of the graph, as they shall
        torch.onnx.export(
            module,
            (example,),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {2: "height", 3: "width"}, OUTPUT: {2: "enlarged_height", 3: "enlarged_width"}},
        )


def _metadata(weights: LoadedWeights, half: bool) -> dict[str, str]:
    """Return what the file says of itself; ``sha256`` is that of the weights it was made from."""
    spec, sha256 = weights.spec, sha256_of(weights.path)
    record = load_manifest().get(weights.name)
    known = record is not None and (local_path(record) == weights.path or record.sha256 == sha256)
    return {
        "name": weights.name,
        "architecture": spec.architecture,
        "scale": str(spec.scale),
        "size_multiple": str(spec.size_multiple),
        "smallest_side": str(smallest_side(spec)),
        "channels": str(spec.in_channels),
        "range": "0 to 1",
        "precision": "fp16" if half else "fp32",
        "sha256": sha256,
        "licence": (record.licence if known and record else None) or weights.facts.get("licence", "none stated"),
    }
