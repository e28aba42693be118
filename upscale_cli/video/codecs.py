"""The codecs that clips are written with: encoders, containers, what they hold, and what quality means to each."""

from __future__ import annotations

from dataclasses import dataclass

from av import Codec as Encoder
from av import VideoFormat
from av.codec import codecs_available

from upscale_cli.errors import UsageError

DEFAULT_QUALITY = 75
X26X_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
NVENC_PRESETS = tuple(f"p{number}" for number in range(1, 8))
ISO, OPEN = (".mp4", ".m4v", ".mov", ".mkv"), (".mp4", ".m4v", ".mkv", ".webm")


@dataclass(frozen=True)
class Codec:
    """A codec by its name on the command line.

    ``crf``: the encoder's constant rate factor at quality 100 and at quality 1, None where it has none. ``presets``:
    their names, the option that takes them and the default. ``largest``: pixels of the longer side. ``tag`` in MP4.
    ``hdr10`` and ``aspect``: whether its packets hold the mastering data and the pixel aspect.
    """

    encoder: str
    containers: tuple[str, ...]
    largest: int
    crf: tuple[float, float] | None = None
    crf_option: str = "crf"
    presets: tuple[str, ...] = ()
    preset_option: str = "preset"
    preset: str = ""
    options: tuple[tuple[str, str], ...] = ()
    tag: str = ""
    hdr10: bool = False
    aspect: bool = False


def _nvenc(name: str, largest: int, containers: tuple[str, ...] = ISO, tag: str = "") -> Codec:
    """Return one of NVIDIA's encoders, with a constant quality."""
    options = (("rc", "vbr"), ("b", "0"))
    inside = name != "av1"
    preset = NVENC_PRESETS, "preset", "p5"
    return Codec(f"{name}_nvenc", containers, largest, (10, 40), "cq", *preset, options, tag, aspect=inside)


CODECS = {
    "h264": Codec("libx264", ISO, 8192, (10, 40), presets=X26X_PRESETS, preset="medium", hdr10=True, aspect=True),
    "hevc": Codec(
        "libx265", ISO, 16384, (12, 42), presets=X26X_PRESETS, preset="medium", tag="hvc1", hdr10=True, aspect=True
    ),
    "av1": Codec("libsvtav1", OPEN, 16384, (12, 60), presets=tuple(map(str, range(14))), preset="8", hdr10=True),
    "vp9": Codec(
        "libvpx-vp9",
        OPEN,
        16384,
        (12, 58),
        presets=tuple(map(str, range(9))),
        preset_option="cpu-used",
        preset="2",
        options=(("b", "0"), ("deadline", "good"), ("row-mt", "1")),
    ),
    "prores": Codec("prores_ks", (".mov", ".mkv"), 16384, options=(("vendor", "apl0"),)),
    "ffv1": Codec("ffv1", (".mkv",), 65536, options=(("level", "3"), ("slicecrc", "1"))),
    "h264_nvenc": _nvenc("h264", 4096),
    "hevc_nvenc": _nvenc("hevc", 8192, tag="hvc1"),
    "av1_nvenc": _nvenc("av1", 8192, OPEN),
}


def choose(name: str | None, container: str, depth: int) -> str:
    """Return the codec's name: ``name``, or the default for the container's extension and bits per channel.

    Raises UsageError where ``name`` is unknown, has no encoder here, or does not fit the container.
    """
    name = name or ("vp9" if container == ".webm" else "hevc" if depth > 8 else "h264")
    if name not in CODECS:
        raise UsageError(f"There is no codec {name}.", f"Known are: {', '.join(CODECS)}.")
    codec = CODECS[name]
    if codec.encoder not in codecs_available:
        raise UsageError(f"PyAV has no encoder for {name} here.", "Choose another --codec.")
    if container not in codec.containers:
        fitting = ", ".join(codec.containers)
        raise UsageError(f"{container} files do not hold {name}.", f"Use -o with {fitting}, or another --codec.")
    return name


def rate_options(name: str, quality: int | None, preset: str | None) -> dict[str, str]:
    """Return the encoder's options for ``quality`` (1 to 100) and ``preset``. Raises UsageError."""
    codec = CODECS[name]
    if quality is not None and codec.crf is None:
        raise UsageError(f"{name} takes no --quality.", "Leave it out.")
    if preset is not None and preset not in codec.presets:
        known = f"Known are: {', '.join(codec.presets)}." if codec.presets else "Leave it out."
        raise UsageError(f"{name} has no preset {preset}.", known)
    options = dict(codec.options)
    if codec.crf is not None:
        best, worst = codec.crf
        share = ((quality or DEFAULT_QUALITY) - 1) / 99
        options[codec.crf_option] = str(round(worst + (best - worst) * share))
    if codec.presets:
        options[codec.preset_option] = preset or codec.preset
    return options


def pixel_format(name: str, wanted: str | None, source: str, depth: int) -> str:
    """Return the encoder's pixel format: ``wanted``, or the source's, or the nearest of 4:2:0. Raises UsageError."""
    offered = [form.name for form in Encoder(CODECS[name].encoder, "w").video_formats or ()]
    planar = [form for form in offered if form.startswith(("yuv4", "p0", "p2"))]
    if wanted is not None:
        if wanted not in planar:
            raise UsageError(f"{name} does not write {wanted}.", f"Use --pix-fmt {', '.join(planar)}.")
        return wanted
    source = source.replace("yuvj", "yuv").replace("yuva", "yuv")
    deep = ("yuv420p10le", "p010le", "yuv422p10le", "yuv420p")
    nearest = deep if depth > 8 else ("yuv420p", "nv12", "yuv422p10le")
    chosen: str = next(form for form in (source, *nearest) if form in planar)
    return chosen


def require_size(name: str, width: int, height: int) -> None:
    """Raise UsageError where ``width`` x ``height`` is beyond what the codec holds."""
    largest = CODECS[name].largest
    if max(width, height) > largest:
        larger = [other for other, codec in CODECS.items() if codec.largest >= max(width, height)]
        hint = f"Use --codec {' or '.join(larger)}, or a smaller size." if larger else "Use a smaller size."
        raise UsageError(f"{width}x{height} is beyond what {name} holds: {largest} pixels a side.", hint)


def depth_of(pix_fmt: str) -> int:
    """Return the bits per channel of a pixel format. Raises UsageError."""
    try:
        return max(component.bits for component in VideoFormat(pix_fmt).components)
    except ValueError as error:
        raise UsageError(f"There is no pixel format {pix_fmt}.", "Use one such as yuv420p or yuv420p10le.") from error


def subsampling(pix_fmt: str) -> tuple[int, int]:
    """Return how many luma samples share a chroma sample, across and down."""
    form = VideoFormat(pix_fmt, 16, 16)
    return 16 // form.chroma_width(16), 16 // form.chroma_height(16)
