"""The same weights and picture through this program, the plain loop and other runtimes, as far as they are installed.

    python benchmarks/against_peers.py
    python benchmarks/against_peers.py -m lite-x4 --size 276x276 --repeat 9 --threads 2
    PYTHONPATH=folder/of/openvino python benchmarks/against_peers.py --threads 1 --work

The others are no dependencies: `pip install --target FOLDER --no-deps openvino openvino-telemetry ncnn pnnx`, and
FOLDER in PYTHONPATH. Each way runs in a process of its own, with the picture as bytes in and bytes out, whole, in fp32
and, where it is named, in bf16. Seconds are the best of ``--repeat``; the peak is that of the process; the difference
is the largest, in levels, to the whole picture in float64.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from upscale_cli import benchmarking, levels
from upscale_cli.device import Precision, cpu_has_bf16, keep_freed_memory
from upscale_cli.images.picture import Pixels
from upscale_cli.upscaling.runner import NetworkRunner
from upscale_cli.weights.load import load
from upscale_cli.weights.onnx_export import save_onnx

Way = Callable[[Pixels], Pixels]
CPU = torch.device("cpu")


def drawn(width: int, height: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def planes_of(pixels: Pixels) -> NDArray[np.float32]:
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32) / np.float32(255)


def pixels_of(planes: NDArray[Any]) -> Pixels:
    whole: Pixels = np.rint(np.clip(planes[0], 0, 1) * 255).astype(np.uint8)
    return whole.transpose(1, 2, 0)


def this_program(model: str, precision: Precision) -> Way:
    keep_freed_memory()  # as the command does
    case = benchmarking.named_case(model, 0, 0)
    return NetworkRunner(case.module, case.spec, devices_used=[CPU], precision=precision).run


def plain_loop(model: str) -> Way:
    module = benchmarking.named_case(model, 0, 0).module.eval()

    @torch.inference_mode()
    def run(pixels: Pixels) -> Pixels:
        return levels.to_pixels(module(torch.from_numpy(planes_of(pixels))), np.uint8)

    return run


def by_onnxruntime(model: str, threads: int, folder: Path) -> Way:
    import onnxruntime

    save_onnx(folder / "network.onnx", load(model))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(folder / "network.onnx", options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pixels: pixels_of(session.run(None, {name: planes_of(pixels)})[0])


def by_openvino(model: str, threads: int, folder: Path, kind: str, shape: tuple[int, int]) -> Way:
    import openvino  # type: ignore[import-not-found,unused-ignore]

    save_onnx(folder / "network.onnx", load(model))
    core = openvino.Core()
    network = core.read_model(folder / "network.onnx")
    network.reshape([1, 3, *shape])
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": kind, "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(network, "CPU", settings)
    return lambda pixels: pixels_of(compiled(planes_of(pixels))[0])


def by_ncnn(model: str, threads: int, folder: Path, shape: tuple[int, int]) -> Way:
    import ncnn  # type: ignore[import-not-found,unused-ignore]
    import pnnx  # type: ignore[import-not-found,unused-ignore]

    module = benchmarking.named_case(model, 0, 0).module.eval()
    pnnx.export(module, str(folder / "network.pt"), torch.zeros(1, 3, *shape))
    network = ncnn.Net()
    network.opt.num_threads = threads
    network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = network.opt.use_bf16_storage = False
    network.load_param(str(folder / "network.ncnn.param"))
    network.load_model(str(folder / "network.ncnn.bin"))

    def run(pixels: Pixels) -> Pixels:
        with network.create_extractor() as extractor:
            planes = planes_of(pixels)[0]  # which ncnn's array does not keep
            extractor.input("in0", ncnn.Mat(planes).clone())
            return pixels_of(np.array(extractor.extract("out0")[1])[None])

    return run


def ways(model: str, threads: int, folder: Path, shape: tuple[int, int]) -> dict[str, Callable[[], Way]]:
    """Return what makes each way that is possible here, by its name."""
    found: dict[str, Callable[[], Way]] = {
        "plain loop, fp32": lambda: plain_loop(model),
        "this program, fp32": lambda: this_program(model, "fp32"),
    }
    if find_spec("onnxruntime") and find_spec("onnx"):
        found["onnxruntime, fp32"] = lambda: by_onnxruntime(model, threads, folder)
    if find_spec("openvino") and find_spec("onnx"):
        found["OpenVINO, fp32"] = lambda: by_openvino(model, threads, folder, "f32", shape)
    if find_spec("ncnn") and find_spec("pnnx"):
        found["ncnn, fp32"] = lambda: by_ncnn(model, threads, folder, shape)
    if cpu_has_bf16():
        found["this program, bf16"] = lambda: this_program(model, "half")
        if "OpenVINO, fp32" in found:
            found["OpenVINO, bf16"] = lambda: by_openvino(model, threads, folder, "bf16", shape)
    return found


@torch.inference_mode()
def exact(model: str, pixels: Pixels) -> Pixels:
    module = benchmarking.named_case(model, 0, 0).module.eval().double()
    return levels.to_pixels(module(torch.from_numpy(planes_of(pixels)).double()), np.uint8)


def measure(name: str, given: argparse.Namespace) -> None:
    """Print the JSON of one way, in a process that runs nothing else."""
    width, height = map(int, given.size.split("x"))
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        run = ways(given.model, given.threads, Path(folder), (height, width))[name]()
        pixels = drawn(width, height)
        result, seconds = run(pixels), []
        clock = process_time if given.work else perf_counter
        for _ in range(given.repeat):
            start = clock()
            run(pixels)
            seconds.append(clock() - start)
    peak = benchmarking.peak_memory(CPU) / 2**20
    difference = int(np.abs(result.astype(int) - exact(given.model, pixels)).max())
    print(json.dumps([min(seconds), peak, difference]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", default="lite-x4")
    parser.add_argument("--size", default="276x276", metavar="WxH")
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--work", action="store_true", help="seconds of the processor's work, for a busy machine")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        measure(given.way, given)
        return
    print(f"{given.model}, {given.size} pixels, {given.threads} threads, PyTorch {torch.__version__}.\n")
    print("| way | seconds | times the plain loop | peak, MiB | largest difference, levels |\n|" + " --- |" * 5)
    plain: float | None = None
    for name in ways(given.model, given.threads, Path(), (0, 0)):
        command = [sys.executable, __file__, *sys.argv[1:], "--way", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"| {name} | failed: {(done.stderr.strip().splitlines() or ['?'])[-1]} | | | |", flush=True)
            continue
        seconds, peak, difference = json.loads(done.stdout.splitlines()[-1])
        plain = plain or seconds
        print(f"| {name} | {seconds:.3f} | {plain / seconds:.2f} | {peak:.0f} | {difference} |", flush=True)


if __name__ == "__main__":
    main()
