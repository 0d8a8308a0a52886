"""What Lightning leaves to plugins: how checkpoints reach the disk, batch norm on many devices."""

from __future__ import annotations

from typing import Any

from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.plugins import TorchSyncBatchNorm
from torch import nn

from src import checkpoint


class CheckpointFiles(TorchCheckpointIO):
    """Checkpoints appear whole or not at all, and are read without running code in them."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        _write(path, checkpoint)

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return checkpoint.read(path)


_write = checkpoint.write  # Lightning passes arguments by name, and one is called checkpoint


class SyncBatchNorm(TorchSyncBatchNorm):
    """Batch statistics over all GPUs; on the CPU, for which PyTorch has none, of each process."""

    def apply(self, model: nn.Module) -> nn.Module:
        return model if model.device.type == "cpu" else super().apply(model)
