"""The log of a run: a CSV table, its curve as a picture, and, on request, TensorBoard's files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from upscale_cli import atomic
from upscale_cli.errors import InputError, UsageError

FIGURES = ("psnr_y", "ssim_y")
Row = dict[str, str]


class RunLog:
    """Rows of (step, seconds, rate, losses, validation figures), in memory and in ``log.csv``.

    A run that is resumed after ``first_step`` keeps the rows up to it. Raises InputError where they cannot be read.
    """

    def __init__(self, folder: Path, losses: Sequence[str], first_step: int, tensorboard: bool) -> None:
        self._path, self._curve = folder / "log.csv", folder / "curve.png"
        self._losses = list(losses)
        self._columns = ["step", "seconds", "rate", *losses, *FIGURES]
        read = _read(self._path, self._columns) if first_step else {}
        self._rows = {step: row for step, row in read.items() if step <= first_step}
        self._board = _board(folder / "tensorboard") if tensorboard else None

    def add(self, step: int, seconds: float, rate: float, losses: Mapping[str, float]) -> None:
        """Add the mean losses since the last call."""
        texts = {name: f"{value:.6g}" for name, value in losses.items()}
        self._add(step, seconds, {"rate": f"{rate:.4g}"} | texts)
        self._send(step, {"rate": rate, **{f"loss/{name}": value for name, value in losses.items()}})

    def add_figures(self, step: int, seconds: float, figures: Mapping[str, float]) -> None:
        """Add the figures of a validation."""
        self._add(step, seconds, {"psnr_y": f"{figures['psnr_y']:.4f}", "ssim_y": f"{figures['ssim_y']:.5f}"})
        self._send(step, {f"validation/{name}": value for name, value in figures.items()})

    def _add(self, step: int, seconds: float, texts: Row) -> None:
        self._rows.setdefault(step, {"step": str(step), "seconds": f"{seconds:.0f}"}).update(texts)

    def _send(self, step: int, values: Mapping[str, float]) -> None:
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def write(self) -> None:
        """Write the table and the curve. Raises OutputError."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows.values())
        atomic.write_bytes(self._path, text.getvalue().encode())
        if self._rows:
            atomic.write_bytes(self._curve, draw_curve(list(self._rows.values()), self._losses))

    def close(self) -> None:
        """Close TensorBoard's files."""
        if self._board is not None:
            self._board.close()


def _read(path: Path, columns: Sequence[str]) -> dict[int, Row]:
    """Return the rows of a table by step, without what is no number or of another table. Raises InputError."""
    if not path.is_file():
        return {}
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = [{k: v for k, v in row.items() if k in columns and _is_number(v)} for row in csv.DictReader(file)]
    except (OSError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"The log {path} cannot be read: {reason}.", "Move it away: a new one begins.") from error
    return {int(row["step"]): row for row in rows if row.get("step", "").isdecimal()}


def _is_number(text: str | None) -> bool:
    try:
        return math.isfinite(float(text or "nan"))
    except ValueError:
        return False


def _board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        hint = "Install it with: pip install 'upscale-cli[tensorboard]', or leave run.tensorboard."
        raise UsageError("TensorBoard is not installed.", hint) from error
    return SummaryWriter(str(folder))


def draw_curve(rows: Sequence[Row], losses: Sequence[str]) -> bytes:
    """Return a PNG of the losses over iterations, and of the validation's PSNR where there is one."""
    from matplotlib.figure import Figure

    measured = [row for row in rows if row.get("psnr_y")]
    figure = Figure(figsize=(9, 7 if measured else 4), layout="constrained")
    axes = figure.subplots(2 if measured else 1, 1, squeeze=False)[:, 0]
    for name in losses:
        points = [(int(row["step"]), float(row[name])) for row in rows if row.get(name)]
        axes[0].plot([step for step, _ in points], [value for _, value in points], label=name)
    axes[0].set(xlabel="iteration", ylabel="loss", yscale="log")
    axes[0].legend()
    if measured:
        axes[1].plot([int(row["step"]) for row in measured], [float(row["psnr_y"]) for row in measured], ".-")
        axes[1].set(xlabel="iteration", ylabel="PSNR on Y (dB)")
    for axis in axes:
        axis.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
