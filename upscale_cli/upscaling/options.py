"""What can be asked of an enlargement: every option, with its default and its bounds, in one place."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, cast

from upscale_cli.errors import UsageError
from upscale_cli.upscaling.option_types import is_number, require_types
from upscale_cli.upscaling.size import Size

if TYPE_CHECKING:
    from upscale_cli.borders import Wraps
    from upscale_cli.device import Precision
    from upscale_cli.upscaling.runner import TileChoice

AlphaUpsampler = Literal["network", "bicubic"]
Tileable = Literal["x", "y", "both"]
Depth = Literal[8, 16, 32]
Noise = float | Literal["auto"]
Deviations = tuple[float, float]  # standard deviations of a kernel along both axes, the long one first, in LR pixels
InputQuality = int | Literal["auto", "none"]

DEFAULT_SCALE = 4.0
DEFAULT_DPI, MOST_CENTIMETRES = 300, 10_000
DEFAULT_MAX_MEGAPIXELS = 500.0
RESTORING = "lite-x4-restore"
SMALLEST_TILE = 16
CHOICES: dict[str, tuple[object, ...]] = {
    "alpha_upsampler": ("network", "bicubic"),
    "precision": ("auto", "half", "bf16", "fp32"),
    "depth": (None, 8, 16, 32),
    "tileable": (None, "x", "y", "both"),
}
BOUNDS = {
    "quality": (1, 100, "A quality of {}"),
    "max_bytes": (1, 2**40, "A size of {} bytes"),
    "noise": (0, 50, "Noise of {:g} levels"),
    "denoise": (0, 1, "A denoise strength of {:g}"),
    "tile_pad": (0, 2**16, "A halo of {} pixels"),
    "threads": (1, 2**16, "A number of {} threads"),
    "iterations": (1, 10**9, "A number of {} iterations"),
    "max_megapixels": (0, float("inf"), "A limit of {:g} megapixels"),
    "strength": (0, 1, "A strength of {:g}"),
    "sharpen": (0, 3, "Sharpening by {:g}"),
    "grain": (0, 50, "Grain of {:g} levels"),
    "dpi": (1, 10_000, "A resolution of {:g} dpi"),
}


@dataclass(frozen=True)
class UpscaleOptions:
    """How pictures are enlarged and written.

    Network: ``model`` is a name of the manifest, an OpenModelDB id or a weights file (None: by device and scale);
    ``restore`` takes the embedded network for degraded pictures, ``auto`` the embedded one that suits each
    picture; ``alpha`` is the share of the GAN-trained network in its mix with the
    PSNR-trained one; ``denoise`` (0 to 1) is the strength of realesr-general-x4v3; ``tta`` averages
    over eight orientations; ``alpha_upsampler`` enlarges transparency; ``tileable`` textures continue beyond their left
    and right (x), upper and lower (y) or all edges at the other side.
    The degradation that lite-x4 and lite-x2 remove: ``input_quality`` is the input's JPEG quality, 1 to 100,
    "auto" for what the file says, or "none"; ``noise`` the standard deviation of its noise in levels of 255, 0 to 50,
    or "auto" for what is measured.
    Of the result: ``strength`` (0 to 1) is the share of the network's detail, the rest is the input's, enlarged by
    Lanczos; ``keep_colors`` gives blocks of 32 pixels the input's mean colour; ``sharpen`` (0 to 3) is the amount of
    unsharp masking; ``grain`` (0 to 50) the standard deviation of gray noise in levels of 255, by ``seed``.
    Size: one of ``scale`` (0.1 to 32), ``width``, ``height`` (pixels), ``fit`` ((width, height) in pixels) and
    ``print_size`` ((width, height) of paper in centimetres, turned as the picture needs it, at ``dpi`` pixels per inch,
    else 300). ``dpi`` is also what results state.
    The blur kernel that pictures were downsampled with: ``kernel`` is its file, or "auto" to estimate each picture's.
    ``zssr`` trains a network on each picture itself with it; so do ``fast``, which trains briefly and enlarges once,
    and ``iterations`` and ``seed`` of the training. Otherwise a network is given it.
    Running: ``tile`` is the side of a tile in LR pixels, "auto", or 0 for none; ``tile_pad`` the pixels around it
    (None: as many as the network needs); ``device`` is auto, cpu, cuda, cuda:1, mps, xpu, or several joined by
    commas; ``threads`` are the CPU's; ``compile`` has the network compiled by torch.compile, for long runs.
    Files: ``quality`` (1 to 100) of lossy formats, lowered where ``max_bytes`` ask for it, ``depth`` in bits
    per channel (None: the input's; 32: light in floating point), and ``max_megapixels``, above which an input is
    refused.

    Raises UsageError where a value is out of bounds or two options contradict each other.
    """

    model: str | Path | None = None
    restore: bool = False
    auto: bool = False
    alpha: float | None = None
    denoise: float | None = None
    tta: bool = False
    alpha_upsampler: AlphaUpsampler = "network"
    tileable: Tileable | None = None
    input_quality: InputQuality = "auto"
    noise: Noise = "auto"
    strength: float = 1.0
    keep_colors: bool = False
    sharpen: float = 0.0
    grain: float = 0.0
    scale: float | None = None
    width: int | None = None
    height: int | None = None
    fit: tuple[int, int] | None = None
    print_size: tuple[float, float] | None = None
    dpi: float | None = None
    kernel: Path | Literal["auto"] | None = None
    zssr: bool = False
    fast: bool = False
    iterations: int | None = None
    seed: int | None = None
    tile: TileChoice = "auto"
    tile_pad: int | None = None
    precision: Precision = "auto"
    device: str = "auto"
    threads: int | None = None
    compile: bool = False
    quality: int | None = None
    max_bytes: int | None = None
    depth: Depth | None = None
    max_megapixels: float = DEFAULT_MAX_MEGAPIXELS

    def __post_init__(self) -> None:
        if isinstance(self.kernel, str) and self.kernel != "auto":
            object.__setattr__(self, "kernel", Path(self.kernel))
        require_types({field: getattr(self, field.name) for field in fields(self)})
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                names = ", ".join(str(value) for value in allowed if value is not None)
                raise UsageError(f"{name} is {getattr(self, name)!r}.", f"Use one of {names}.")
        if self.tile != "auto" and not (isinstance(self.tile, int) and (self.tile == 0 or self.tile >= SMALLEST_TILE)):
            hint = f"Use auto, 0 (no tiles), or {SMALLEST_TILE} and more pixels."
            raise UsageError(f"{self.tile!r} is no tile size.", hint)
        if self.input_quality not in ("auto", "none", *range(1, 101)):
            raise UsageError(f"{self.input_quality!r} is no JPEG quality.", "Use auto, none, or 1 to 100.")
        for name, (least, most, words) in BOUNDS.items():
            value = getattr(self, name)
            if value is None or (name == "noise" and value == "auto"):
                continue
            if not is_number(value) or not least <= value <= most:
                said = words.format(value) if is_number(value) else f"{name} = {value!r}"
                raise UsageError(f"{said} is out of range.", f"Use {least} to {most}.")
        self._require_one_network()
        if self.print_size is not None and not _is_paper(self.print_size):
            hint = f"Give (width, height) of up to {MOST_CENTIMETRES} centimetres."
            raise UsageError(f"Paper of {self.print_size!r} is no size.", hint)
        _ = self.size  # which refuses two of them

    def _require_one_network(self) -> None:
        chosen: dict[str, object]
        chosen = {"-m": self.model, "--restore": self.restore or None, "--alpha": self.alpha, "--denoise": self.denoise}
        others = [option for option, value in (chosen | {"--kernel": self.kernel}).items() if value is not None]
        if self.auto and others:
            raise UsageError(f"--auto chooses the network, and {others[0]} another.", "Give one of them.")
        if self.auto and self.degradation:
            raise UsageError(f"--auto measures pictures, and {min(self.degradation)} states it.", "Give one of them.")
        if self.restore and (self.model is not None or self.denoise is not None):
            other = "-m" if self.model is not None else "--denoise"
            raise UsageError(f"--restore chooses the network {RESTORING}, and {other} another.", "Give one of them.")
        if self.kernel is None:
            for option in self._of_training:
                reason = f"{option} belongs to the training of a network on the picture itself."
                raise UsageError(reason, "Add --kernel FILE or --kernel auto, or leave it out.")
        elif self.zero_shot:
            self._require_training_only(chosen)
        else:
            self._require_kernel_heeded(chosen)

    def _require_kernel_heeded(self, chosen: dict[str, object]) -> None:
        """Raise UsageError for networks that are not given kernels; those of ``model`` are seen once they are open."""
        for option, value in list(chosen.items())[1:]:
            if value is not None:
                reason = f"{option} chooses a network that takes no notice of a kernel."
                raise UsageError(reason, "Give one of them.")

    def _require_training_only(self, chosen: dict[str, object]) -> None:
        for option, value in chosen.items():
            if value is not None:
                reason = f"{option} chooses a pretrained network, and {self._of_training[0]} trains one."
                raise UsageError(reason, "Give one of them.")
        for option in self.degradation:
            reason = f"{option} is for pretrained networks, and {self._of_training[0]} trains one."
            raise UsageError(reason, "Leave it out.")
        if self.tta:
            raise UsageError("ZSSR averages over orientations by itself, as far as they help.", "Leave out --tta.")
        if self.compile:
            raise UsageError("--compile pays for long runs of one network, not for ZSSR's.", "Leave out --compile.")

    @property
    def _of_training(self) -> list[str]:
        """The options given that only the training of a network on the picture itself has."""
        seeds_training = self.seed is not None and not self.grain
        given = {"--zssr": self.zssr, "--fast": self.fast, "--iterations": self.iterations, "--seed": seeds_training}
        return [option for option, value in given.items() if value]

    @property
    def zero_shot(self) -> bool:
        """Whether a network is trained on each picture itself (ZSSR)."""
        return self.kernel is not None and bool(self._of_training)

    @property
    def degradation(self) -> dict[str, object]:
        """What is said of the pictures' degradation, by option."""
        said = {"--input-quality": self.input_quality, "--noise": self.noise}
        return {name: value for name, value in said.items() if value != "auto"}

    @property
    def finishes(self) -> bool:
        """Whether the network's result is changed."""
        return self.strength < 1 or self.keep_colors or self.sharpen > 0 or self.grain > 0

    @property
    def wraps(self) -> Wraps:
        """Whether pictures are repeated beyond their borders: downwards, and across."""
        return self.tileable in ("y", "both"), self.tileable in ("x", "both")

    @property
    def sized(self) -> bool:
        """Whether a size was asked for."""
        return any(value is not None for value in (self.scale, self.width, self.height, self.fit, self.print_size))

    @property
    def size(self) -> Size:
        """The size that was asked for, or four times."""
        if not self.sized:
            return Size(scale=DEFAULT_SCALE)
        paper = None
        if self.print_size is not None:
            across, down = (round(side / 2.54 * (self.resolution or 0)) for side in self.print_size)
            paper = across, down
        return Size(self.scale, self.width, self.height, self.fit, paper)

    @property
    def resolution(self) -> float | None:
        """The pixels per inch that results are to state, for prints 300 by default; None: as the input."""
        return self.dpi or (DEFAULT_DPI if self.print_size else None)

    @property
    def network(self) -> str | Path | None:
        """What ``model`` or ``restore`` name; None for the default."""
        return RESTORING if self.restore else self.model

    def fields(self) -> OptionFields:
        """Return all options but ``model`` by name, as ``Upscaler`` takes them."""
        return cast("OptionFields", {field.name: getattr(self, field.name) for field in fields(self)[1:]})


def _is_paper(size: object) -> bool:
    sides = size if isinstance(size, tuple) and len(size) == 2 else ()
    return bool(sides) and all(is_number(side) and 0 < side <= MOST_CENTIMETRES for side in sides)


class OptionFields(TypedDict, total=False):
    """The options of ``UpscaleOptions`` but ``model``, for signatures that pass them on by name."""

    restore: bool
    auto: bool
    alpha: float | None
    denoise: float | None
    tta: bool
    alpha_upsampler: AlphaUpsampler
    tileable: Tileable | None
    input_quality: InputQuality
    noise: Noise
    strength: float
    keep_colors: bool
    sharpen: float
    grain: float
    scale: float | None
    width: int | None
    height: int | None
    fit: tuple[int, int] | None
    print_size: tuple[float, float] | None
    dpi: float | None
    kernel: Path | Literal["auto"] | None
    zssr: bool
    fast: bool
    iterations: int | None
    seed: int | None
    tile: TileChoice
    tile_pad: int | None
    precision: Precision
    device: str
    threads: int | None
    compile: bool
    quality: int | None
    max_bytes: int | None
    depth: Depth | None
    max_megapixels: float
