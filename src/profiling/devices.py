"""Devices that networks run on."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def find_device(name: str | torch.device | None) -> torch.device:
    """The device of that name; for None CUDA if there is any, else the CPU.

    Raises:
        ValueError: no such device here.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):  # AssertionError: torch built without CUDA
        raise ValueError(
            f"expected a device that PyTorch finds here, such as cpu or cuda, got {name}; leave it "
            "out to use CUDA where there is any"
        ) from None
    return device


def device_name(device: torch.device) -> str:
    """What the maker calls it, for a table of times."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
