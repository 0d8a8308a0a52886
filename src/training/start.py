"""What a training begins with: settings that make sense, and a network."""

from __future__ import annotations

import torch
from omegaconf import DictConfig

from src import checkpoint
from src.cli.targets import instantiate
from src.models import FaceDetector, build_model, set_norm_momentum
from src.models.layout import lay_out_for_cpu
from src.pruning import PruningSpec


def check_counts(config: DictConfig) -> None:
    """Refuse to train or validate on nothing."""
    trainer = config.trainer
    endless = trainer.max_epochs is None or trainer.max_epochs < 1
    if endless and not (trainer.max_epochs == -1 and trainer.max_steps > 0):
        raise ValueError(
            f"expected trainer.max_epochs of at least 1, or -1 with trainer.max_steps, got "
            f"{trainer.max_epochs} and {trainer.max_steps}; set recipe.epochs"
        )
    for name in ("limit_train_batches", "limit_val_batches", "accumulate_grad_batches"):
        if trainer[name] is not None and trainer[name] <= 0:
            raise ValueError(f"expected trainer.{name} above 0, got {trainer[name]}; leave it out")
    if trainer.max_steps == 0:
        raise ValueError("expected trainer.max_steps of at least 1, or -1 for no limit, got 0")


def initial_model(config: DictConfig) -> FaceDetector:
    """The network to train, with the weights that ``init`` names."""
    model = build_model(instantiate(config.model, _convert_="all"))
    if config.init.model is not None:
        source = checkpoint.load(config.init.model).model
        if source.config != model.config:
            raise ValueError(
                "expected weights of the configured network in init.model, got one with "
                f"{checkpoint.differences(model.config, source.config)}; set the model options to "
                "match, or model=checkpoint to take its network"
            )
        model.load_state_dict(source.state_dict())
    if config.init.backbone is not None:
        checkpoint.load_backbone(config.init.backbone, model)
    set_norm_momentum(model, config.norm_momentum)
    return model.train()


def lay_out(model: FaceDetector, channels_last: bool | None, device: torch.device) -> None:
    """Choose how the network's weights, and with them its activations, lie in memory.

    The channels of a pixel side by side need no reordering for convolutions on a CPU; results are
    the same up to rounding. None: so on a CPU, and the other way elsewhere, where it was not found
    to pay.
    """
    on_cpu = device.type == "cpu"
    if on_cpu and channels_last is not False:
        lay_out_for_cpu(model)
    elif channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def pruning_at_start(config: DictConfig) -> PruningSpec | None:
    """What goes before the training begins; None: nothing, or the module prunes along.

    Raises:
        ValueError: there are no weights yet by which filters could be ranked.
    """
    if config.pruning is None or "pruning" in config.module:
        return None
    if config.init.model is None:
        raise ValueError(
            "expected trained weights in init.model to prune at the start, got none; add "
            "init.model=FILE, or pruning=soft to prune along the training"
        )
    spec: PruningSpec = instantiate(config.pruning, _convert_="all")
    return spec
