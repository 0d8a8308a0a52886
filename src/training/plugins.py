"""What Lightning leaves to plugins: how checkpoints reach the disk, batch norm on many devices."""

from __future__ import annotations

from typing import Any

from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.plugins import TorchSyncBatchNorm
from torch import nn

from src.checkpoint import read, write
from src.training.integrity import sealed


class CheckpointFiles(TorchCheckpointIO):
    """Checkpoints appear whole or not at all, with a check sum of their content, and are read
    without running code in them."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        write(path, sealed(checkpoint))

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return read(path)


class SyncBatchNorm(TorchSyncBatchNorm):
    """Batch statistics over all GPUs; on the CPU, for which PyTorch has none, of each process."""

    def apply(self, model: nn.Module) -> nn.Module:
        return model if model.device.type == "cpu" else super().apply(model)
