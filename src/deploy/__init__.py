"""Networks in files that run without this package, and how far they are from ours."""

from src.deploy.onnx_file import SUFFIX, export_onnx
from src.deploy.parity import Difference, differences
from src.deploy.runtime import OnnxNetwork, require

__all__ = [
    "SUFFIX",
    "Difference",
    "OnnxNetwork",
    "differences",
    "export_onnx",
    "require",
]
