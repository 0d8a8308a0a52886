"""Whose project of Weights & Biases runs go to, and whether there is a key for it.

``conf/logger/wandb.yaml`` says the same of a training; ``tests/tracking`` compares them.
"""

from __future__ import annotations

import os

PROJECT = "featherface"

LOG_IN = (
    "no key of Weights & Biases was found: 'wandb login' stores the one that "
    "https://wandb.ai/authorize shows, WANDB_API_KEY holds one"
)


def project() -> str:
    """``WANDB_PROJECT``, else ours."""
    return os.environ.get("WANDB_PROJECT") or PROJECT


def mode() -> str:
    """``WANDB_MODE``; without it nothing leaves this machine."""
    return os.environ.get("WANDB_MODE") or "offline"


def has_key() -> bool:
    """Whether a push would find a key: in the variable, or where ``wandb login`` puts it."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    from wandb.sdk.lib.wbauth import read_netrc_auth

    host = os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"
    return read_netrc_auth(host=host) is not None


def default_entity() -> str:
    """The user, or the team, that the key is of; asks W&B.

    Raises:
        ValueError: W&B names none.
    """
    import wandb

    found = wandb.Api().default_entity
    if not found:
        raise ValueError("expected a user or team of W&B for this key, got none; set entity=NAME")
    return found
