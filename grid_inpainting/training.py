"""One training step, one validation, and what goes into a checkpoint, for Lightning's trainer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchmetrics.functional.image import structural_similarity_index_measure

from grid_inpainting.critic import Critic, Perceptual, critic_loss, deceive, l1_in, match_features
from grid_inpainting.lama import Generator, Painter, start_from_diffusion
from grid_inpainting.settings import DIFFUSED, Settings


def new_painter(settings: Settings) -> Painter:
    """A painter as the settings say, its weights new."""
    shape = {key: getattr(settings, key) for key in ("width", "downsamplings", "blocks", "global_share")}
    painter = Painter(Generator(**shape), diffused=settings.hole == DIFFUSED)
    if painter.diffused:
        start_from_diffusion(painter)
    return painter


class Training(lightning.LightningModule):
    """Trains a painter, against a critic where the settings ask for one.

    Attributes:
        painter: what learns.
        averaged: its moving average: what is measured and kept.
        steps_done: int64 scalar, in every checkpoint: where the samples go on.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.settings = settings
        self.painter = new_painter(settings).to(memory_format=torch.channels_last)
        average = get_ema_multi_avg_fn(settings.ema)
        self.averaged = AveragedModel(self.painter, multi_avg_fn=average).requires_grad_(False)
        self.critic = Critic() if settings.adversarial or settings.feature_matching else None
        self.perceptual = Perceptual(Path(settings.perceptual_weights)) if settings.perceptual else None
        self.register_buffer("steps_done", torch.zeros((), dtype=torch.int64))

    def begin_with(self, generator: dict[str, Tensor]) -> None:
        """Take a generator's weights, strictly.

        Raises:
            ValueError: they are of another network.
        """
        try:
            self.painter.generator.load_state_dict(generator, strict=True)
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
            raise ValueError(f"init is of another network than the settings describe: {first}") from error
        self.averaged.module.load_state_dict(self.painter.state_dict())

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """The painter's, and the critic's if there is one."""
        optimizers = [torch.optim.AdamW(self.painter.parameters(), self.settings.lr, betas=(0.9, 0.99), weight_decay=0)]
        if self.critic is not None:
            optimizers.append(torch.optim.Adam(self.critic.parameters(), self.settings.critic_lr, betas=(0.5, 0.99)))
        return optimizers

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """One step of both."""
        optimizers = self.optimizers()
        optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
        share = learning_rate(int(self.steps_done), self.settings)
        mask, target = batch["mask"], batch["target"]
        image = batch["image"].contiguous(memory_format=torch.channels_last)
        whole = self.painter.paint(image, mask).float()
        painted = image * (1 - mask) + mask * whole
        terms: dict[str, Tensor] = {}
        if self.critic is not None:
            self._set_rate(optimizers[1], self.settings.critic_lr * share)
            terms["critic"] = critic_loss(self.critic, target, painted.detach(), mask, self.settings.r1)
            self._step(optimizers[1], terms["critic"])
        terms |= self._terms(whole, painted, mask, target)
        weights = {name: getattr(self.settings, name) for name in terms if name != "critic"}
        self._set_rate(optimizers[0], self.settings.lr * share)
        self._step(optimizers[0], sum(weights[name] * terms[name] for name in weights))
        self.averaged.update_parameters(self.painter)
        self.steps_done += 1
        self.log_dict({f"train/{name}": term.detach() for name, term in terms.items()}, prog_bar=True)
        self.log("train/lr", self.settings.lr * share)

    def _terms(self, whole: Tensor, painted: Tensor, mask: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The painter's losses by the names of their weights."""
        settings = self.settings
        terms = {"l1": l1_in(mask, painted, target)}
        if settings.l1_known:
            terms["l1_known"] = l1_in(1 - mask, whole, target)
        if self.critic is not None:
            self.critic.requires_grad_(False)
            logits, features = self.critic(painted)
            terms["adversarial"] = deceive(logits, mask)
            if settings.feature_matching:
                with torch.no_grad():
                    true = self.critic(target)[1]
                terms["feature_matching"] = match_features(true, features)
            self.critic.requires_grad_(True)
        if self.perceptual is not None:
            terms["perceptual"] = self.perceptual(painted, target)
        return terms

    def _set_rate(self, optimizer: Any, rate: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = rate

    def _step(self, optimizer: Any, loss: Tensor) -> None:
        self.manual_backward(loss / self.settings.accumulate)
        if (int(self.steps_done) + 1) % self.settings.accumulate:
            return
        if self.settings.clip:
            self.clip_gradients(optimizer, self.settings.clip, "norm")
        optimizer.step()
        optimizer.zero_grad()

    def on_validation_start(self) -> None:
        """Measure the averaged painter's statistics."""
        self.settle(self.trainer.datamodule.settling_batches())

    def settle(self, batches: Iterable[dict[str, Tensor]]) -> None:
        """Take the statistics that normalisation uses from samples, under the weights as they are now.

        Those that training leaves are of the last few steps and of weights that moved on: painting with them is worse
        by far than in training.
        """
        norms = [module for module in self.averaged.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        seen = 0
        with torch.no_grad():
            for seen, batch in enumerate(batches, 1):
                for norm in norms:
                    if seen == 1:
                        norm.reset_running_stats()
                    norm.momentum = 1 / seen  # the mean over all batches
                    norm.train()
                self.averaged(batch["image"].to(self.device), batch["mask"].to(self.device))
        for norm in norms:
            norm.eval()

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """PSNR and SSIM in the hole, of the averaged painter, and of what diffusion alone gives."""
        image, mask, target = batch["image"], batch["mask"], batch["target"]
        painted = self.averaged(image, mask).float()
        kept = mask.flatten(1).any(1)
        if not kept.any():
            return
        image, mask, target, painted = image[kept], mask[kept], target[kept], painted[kept]
        error = (mask * (painted - target)).square().flatten(1).sum(1) / (3 * mask.flatten(1).sum(1))
        _, similar = structural_similarity_index_measure(
            painted, target, data_range=1.0, return_full_image=True, reduction="none"
        )
        ssim = (mask * similar).flatten(1).sum(1) / (3 * mask.flatten(1).sum(1))
        figures = {
            "val/psnr": (-10 * error.clamp(min=1e-10).log10()).mean(),
            "val/ssim": ssim.mean(),
            "val/l1": l1_in(mask, painted, target),
        }
        self.log_dict(figures, batch_size=len(image), prog_bar=True, sync_dist=True)


def learning_rate(step: int, settings: Settings) -> float:
    """Share of the full learning rate at a step: a straight rise, then a cosine down to `last_lr`."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    way = min((step - settings.warmup) / max(settings.steps - settings.warmup, 1), 1.0)
    return settings.last_lr + (1 - settings.last_lr) * 0.5 * (1 + math.cos(math.pi * way))
