"""The settings of one training: what a file in `configs/` and `key=value` on the command line may say."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

BLACK, DIFFUSED = "black", "diffused"
PRECISIONS = ("auto", "32-true", "16-mixed", "bf16-mixed")
ON_RESUME = ("steps", "workers", "patience", "keep_best", "validate_every", "ema", "settle")
"""Settings that may change when a run is resumed."""


@dataclass
class Settings:
    """One training. Defaults: a small network from scratch, trainable on a processor."""

    # network
    width: int = 48  # channels of the first layer; big-lama has 64
    downsamplings: int = 2  # big-lama 3: fewer keep finer texture, which narrow holes ask for
    blocks: int = 6  # of the trunk; big-lama 18
    global_share: float = 0.75  # of the trunk's channels that pass through the spectrum
    hole: str = DIFFUSED  # what is in it: diffused (the network adds what is missing), or black as published
    init: str = ""  # generator to start from: a run, a .ckpt of ours, or .safetensors (`grid_inpainting.convert`)
    # data
    crop_px: int = 256  # side of a sample; a multiple of 2 ** downsamplings
    batch: int = 8  # samples a step; 0: as many as fit on the GPU
    zoom: list[float] = field(default_factory=lambda: [0.6, 1.5])  # lowest and highest scale of a sample
    drawn: float = 0.4  # share of samples whose hole is drawn at random although the photo has strings
    grow_px: list[int] = field(default_factory=lambda: [1, 3])  # how far the hole reaches over the string's true pixels
    stroke_px: list[float] = field(default_factory=lambda: [3.0, 18.0])  # width of holes drawn at random
    colour: float = 0.1  # how far each colour channel is brightened or darkened, as a share
    # optimiser
    steps: int = 20_000
    lr: float = 0.001
    critic_lr: float = 0.0002
    warmup: int = 200  # steps over which the learning rate rises
    last_lr: float = 0.02  # last learning rate as a share of the first, by a cosine
    clip: float = 1.0  # largest norm of the gradient; 0: any
    accumulate: int = 1  # steps whose gradients are added up
    ema: float = 0.99  # weight of the past in the averaged network, which is what is measured and kept
    settle: int = 96  # samples that its statistics are measured on before each validation; 0: those of the last steps
    precision: str = "auto"  # bf16-mixed where the device has it, else 32-true; FFTs are always float32
    # loss: weights of its terms, 0 switches one off
    l1: float = 10.0  # in the hole
    l1_known: float = 0.0  # outside of it; nothing to learn there unless the network's own picture is used
    adversarial: float = 0.0
    r1: float = 0.001  # gradient penalty of the critic on true pictures
    feature_matching: float = 0.0
    perceptual: float = 0.0
    perceptual_weights: str = ""  # torchvision's resnet50 as a state dict: .pth or .safetensors
    # validation, stopping, checkpoints
    monitor: str = "psnr"  # psnr or ssim in the hole, l1 (the less the better)
    validate_every: int = 500  # steps
    validation_samples: int = 96
    patience: int = 0  # validations without improvement before training stops; 0: never
    keep_best: int = 1  # number of best checkpoints to keep
    # machine
    workers: int = 2  # processes that load samples

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        self._check("hole", self.hole in (BLACK, DIFFUSED), f"{BLACK} or {DIFFUSED}")
        self._check("precision", self.precision in PRECISIONS, " or ".join(PRECISIONS))
        self._check("monitor", self.monitor in ("psnr", "ssim", "l1"), "psnr, ssim or l1")
        fits = self.crop_px >= 32 and self.crop_px % 2**self.downsamplings == 0
        self._check("crop_px", fits, f"at least 32 and a multiple of {2**self.downsamplings}")
        self._check("batch", self.batch >= 0, "0 or more")
        self._check("steps", self.steps >= 1, "at least 1")
        self._check("ema", 0 <= self.ema < 1, "0 up to, not including, 1")
        self._check("drawn", 0 <= self.drawn <= 1, "0..1")
        for name, least in (("zoom", 0.1), ("grow_px", 0), ("stroke_px", 1)):
            pair = getattr(self, name)
            self._check(name, len(pair) == 2 and least <= pair[0] <= pair[1], f"a pair, {least} <= low <= high")
        given = self.perceptual == 0 or self.perceptual_weights
        self._check("perceptual", given, "0, or perceptual_weights beside it")

    def _check(self, name: str, fine: object, expected: str) -> None:
        if not fine:
            raise ValueError(f"setting {name} is {getattr(self, name)!r}: expected {expected}")


OVERFIT_STEPS = 400


def for_overfitting(settings: Settings, samples: int) -> Settings:
    """Settings under which a sound network learns `samples` crops by heart."""
    return replace(
        settings,
        batch=min(2, samples),
        steps=OVERFIT_STEPS,
        warmup=20,
        validate_every=OVERFIT_STEPS // 4,
        validation_samples=samples,
        ema=0.9,
        patience=0,
        workers=0,
    )
