"""Everything a training run needs, as one value; ``recipe_checks`` makes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from upscale_cli import networks
from upscale_cli.degradation.chains import SecondOrder
from upscale_cli.networks import NetworkSpec

LOSSES = ("pixel", "teacher", "perceptual", "texture", "adversarial")

Positive = Annotated[int, Meta(ge=1, le=10**9)]
Share = Annotated[float, Meta(ge=0, le=1)]
Weight = Annotated[float, Meta(ge=0, le=1e9)]
Rate = Annotated[float, Meta(gt=0, le=1)]
Variance = Annotated[float, Meta(ge=0, le=4)]
Quality = Annotated[int, Meta(ge=1, le=100)]
Layers = dict[str, Weight]


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a recipe."""


class Network(Section, frozen=True):
    """The network to train. ``sizes``: those of its architecture; in a file they stand beside ``architecture``.

    ``branches``: convolutions are trained as four, which are folded when saved, or as what they are. Without, SPAN's
    are, and those of compact are not.
    """

    architecture: str
    scale: Annotated[int, Meta(ge=1, le=16)] = 4
    branches: bool | None = None
    sizes: dict[str, Any] = {}

    def spec(self) -> NetworkSpec:
        """Return the structure of the network. Raises UsageError where there can be none."""
        return networks.spec(self.architecture, self.scale, self.sizes)


class Data(Section, frozen=True):
    """Where patches come from: folders of HR pictures, and of their LR pictures unless these are made from HR.

    ``draw``: whether every picture, or every folder, is drawn equally often. ``workers``: threads that prepare batches,
    0 for one per core but one. ``cache``: gigabytes of decoded pictures to keep in memory, -1 for a share of what is
    free. ``on_device``: all pictures are kept in the device's memory, and patches, other ones than without, cut there.
    """

    hr: tuple[str, ...] = ()
    lr: tuple[str, ...] = ()
    hr_patch: Annotated[int, Meta(ge=16, le=2048)] = 128
    batch: Positive = 16
    flips: bool = True
    rotations: bool = True
    draw: Literal["picture", "folder"] = "picture"
    workers: Annotated[int, Meta(ge=0, le=256)] = 0
    cache: Annotated[float, Meta(ge=-1, le=1e6)] = -1
    on_device: bool = False


class Degradation(Section, frozen=True):
    """How LR is made from HR.

    ``kernels``: a file or folder of blur kernels; LR then gets Gaussian noise of a standard deviation drawn from 0 to
    ``noise`` levels of 255. ``canvas``: side of the HR crop that is degraded before ``hr_patch`` is cut from it, 0 for
    the patch itself. ``sharpen``: pixel, perceptual and texture losses compare with the unsharp-masked HR. ``pool``:
    number of pairs from which batches are mixed, 0 for none. ``clean``: share of batches that are only downsampled
    bicubically; of the kind "known" it is the share of patches, for either of noise and JPEG.

    The kind "known" is bicubic downsampling, Gaussian noise as above, and JPEG of a quality drawn from
    ``jpeg_quality``, evenly by the logarithm of how coarse it is; a conditioned network is given both. With ``blur``,
    the range of a variance in squared LR pixels, most patches are downsampled with a Gaussian kernel instead, as those
    of DIV2KRK, whose covariance the network may be given too.
    """

    kind: Literal["bicubic", "kernels", "known", "second-order"] = "bicubic"
    kernels: str = ""
    noise: Annotated[float, Meta(ge=0, le=100)] = 0
    jpeg_quality: tuple[Quality, Quality] = (30, 98)
    blur: tuple[Variance, Variance] = (0, 0)
    canvas: Annotated[int, Meta(ge=0, le=4096)] = 0
    sharpen: bool = False
    pool: Annotated[int, Meta(ge=0, le=10000)] = 0
    clean: Share = 0
    second_order: SecondOrder = msgspec.field(default_factory=SecondOrder)


class Pixel(Section, frozen=True):
    """The distance of pixels. ``charbonnier`` is √(d² + 10⁻⁶)."""

    kind: Literal["l1", "mse", "charbonnier"] = "l1"
    weight: Weight = 1


class Teacher(Section, frozen=True):
    """A network whose result for the same LR is a second target (distillation).

    ``tta``: its result is the mean over eight orientations, as ``upscale --tta``, better and eight times as dear.
    ``denoise``: its share in the mix with its weakly denoising partner, as ``upscale -dn``; 1 for itself alone.
    ``colors``: "own", or "hr" for the teacher's details with the low frequencies of HR, as GAN-trained teachers shift
    brightness.
    """

    weights: str
    kind: Literal["l1", "mse"] = "l1"
    weight: Weight = 1
    tta: bool = False
    denoise: Share = 1
    colors: Literal["own", "hr"] = "own"


class Perceptual(Section, frozen=True):
    """The distance of a feature network's layers, with a weight for each: conv5_4 (before ReLU), relu5_4, pool5.

    ``weights``: a name of the manifest, a file, or "random" for tests.
    """

    layers: Layers
    kind: Literal["l1", "mse"] = "l1"
    weight: Weight = 1
    weights: str = "vgg19"


class Texture(Section, frozen=True):
    """The distance of Gram matrices of ``patch``×``patch`` features (Sajjadi et al. 2017, eq. 5)."""

    layers: Layers
    patch: Positive = 16
    weight: Weight = 1
    weights: str = "vgg19"


class Adversarial(Section, frozen=True):
    """The discriminator and the losses of both networks.

    ``weights``: a manifest name or file to start from, "" for scratch. ``rate``: its learning rate, 0 for the
    generator's. ``train_below``: it is trained only after a batch in which it classified a smaller share than this of
    the HR or of the generated pictures correctly (Sajjadi et al. 2017); 0 for always.
    """

    kind: Literal["vanilla", "relativistic", "least-squares"] = "vanilla"
    discriminator: Literal["vgg", "srgan", "enhancenet", "unet"] = "vgg"
    weight: Weight = 1
    features: Annotated[int, Meta(ge=1, le=512)] = 64
    weights: str = ""
    rate: Annotated[float, Meta(ge=0, le=1)] = 0
    train_below: Share = 0


class Optimizer(Section, frozen=True):
    """How weights follow gradients. ``clip``: largest norm of all gradients together, 0 for no clipping.

    ``kind`` muon trains all layers of the network but the first and the last by Muon, the rest and discriminators by
    Adam, at the same rate.
    """

    kind: Literal["adam", "muon"] = "adam"
    rate: Rate = 1e-4
    betas: tuple[Share, Share] = (0.9, 0.999)
    weight_decay: Weight = 0
    clip: Weight = 0


class Schedule(Section, frozen=True):
    """The number of iterations and the learning rate during them.

    ``steps`` multiplies the rate by ``factor`` at each milestone; ``cosine`` lets it fall to the share ``final``.
    ``warmup``: iterations at the start over which the rate rises linearly.
    """

    iterations: Positive
    kind: Literal["constant", "steps", "cosine"] = "constant"
    milestones: tuple[Positive, ...] = ()
    factor: Share = 0.5
    final: Share = 0.001
    warmup: Annotated[int, Meta(ge=0, le=10**9)] = 0


class Validation(Section, frozen=True):
    """Pictures that are enlarged and measured every ``every`` iterations; without ``lr``, LR is MATLAB's bicubic of HR.

    ``samples``: how many of them are written as pictures.
    """

    hr: str = ""
    lr: str = ""
    every: Positive = 5000
    samples: Annotated[int, Meta(ge=0, le=100)] = 3
    best_by: Literal["psnr_y", "ssim_y"] = "psnr_y"


class Run(Section, frozen=True):
    """How to run. ``ema``: decay of the averaged weights, 0 for none. ``precision`` auto: bf16 where it is fast.

    ``cuda_graphs``: the network's passes are recorded and replayed, for small networks on a CUDA device.
    """

    seed: Annotated[int, Meta(ge=0, le=2**62)] = 0
    ema: Annotated[float, Meta(ge=0, lt=1)] = 0
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: bool = False
    cuda_graphs: bool = False
    log_every: Positive = 100
    checkpoint_minutes: Annotated[float, Meta(gt=0)] = 5
    tensorboard: bool = False


class Recipe(Section, frozen=True):
    """Everything a run needs. ``start``: the weights to start from, a manifest name or a file, or "scratch".

    ``starts_from``: the recipe that trains the network this one needs as its start, "" for none.
    """

    name: str
    paper: str
    network: Network
    optimizer: Optimizer
    schedule: Schedule
    about: str = ""
    starts_from: str = ""
    start: str = ""
    data: Data = Data()
    degradation: Degradation = Degradation()
    pixel: Pixel | None = None
    teacher: Teacher | None = None
    perceptual: Perceptual | None = None
    texture: Texture | None = None
    adversarial: Adversarial | None = None
    validation: Validation = Validation()
    run: Run = Run()
