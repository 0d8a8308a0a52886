"""Where the time of a training step goes: data, networks, objective, backward, optimizer."""

from __future__ import annotations

import time
from typing import Any

import lightning as L
import torch
from torch import nn

PARTS = ("data", "forward", "teacher", "objective", "backward", "optimizer", "Lightning")
"""In the order of a step. ``objective`` is matching, losses and what a teacher's outputs become;
``Lightning`` all that is left, our log lines among it."""


class StepTimes(L.Callback):
    """Measures the parts of the steps of one training.

    Args:
        skip: steps at the start that are left out: they are slower.

    Attributes:
        seconds: part -> seconds of each step that counts.
    """

    def __init__(self, skip: int = 3) -> None:
        self.skip = skip
        self.seconds: dict[str, list[float]] = {part: [] for part in PARTS}
        self._step = dict.fromkeys(PARTS, 0.0)
        self._part = "Lightning"
        self._since = 0.0
        self._steps = 0
        self._handles: list[Any] = []
        self._synchronise = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._synchronise = pl_module.device.type == "cuda"
        module: Any = pl_module
        self._watch(module.model, "forward")
        teacher = getattr(module.objective, "teacher", None)
        if teacher is not None:
            self._watch(teacher.fast, "teacher")
        for optimizer in trainer.optimizers:
            self._handles.append(
                optimizer.register_step_post_hook(lambda *_: self._begin("Lightning"))
            )
        self._since = time.perf_counter()
        self._part = "data"

    def _watch(self, network: nn.Module, part: str) -> None:
        """A network works from the start of its backbone to the end of its heads."""
        backbone, heads = network.get_submodule("backbone"), network.get_submodule("heads")
        self._handles += [
            backbone.register_forward_pre_hook(lambda *_: self._begin(part)),
            heads.register_forward_hook(lambda *_: self._begin("objective")),
        ]

    def _begin(self, part: str) -> None:
        if self._synchronise:
            torch.cuda.synchronize()
        now = time.perf_counter()
        self._step[self._part] += now - self._since
        self._part, self._since = part, now

    def on_train_batch_start(self, *_: Any) -> None:
        self._begin("Lightning")

    def on_before_backward(self, *_: Any) -> None:
        self._begin("backward")

    def on_after_backward(self, *_: Any) -> None:
        self._begin("Lightning")

    def on_before_optimizer_step(self, *_: Any) -> None:
        self._begin("optimizer")

    def on_train_batch_end(self, *_: Any) -> None:
        self._begin("data")
        if self._steps >= self.skip:
            for part, seconds in self._step.items():
                self.seconds[part].append(seconds)
        self._steps += 1
        self._step = dict.fromkeys(PARTS, 0.0)

    def on_train_end(self, *_: Any) -> None:
        for handle in self._handles:
            handle.remove()
