"""Networks in files that run without this package, and how far they are from ours."""

from src.deploy.formats import FORMATS, Format, Reader
from src.deploy.onnx_file import export_onnx
from src.deploy.onnx_runtime import OnnxNetwork
from src.deploy.options import PRECISIONS, ExportOptions, graph_of
from src.deploy.parity import Difference, Expected, differences, expected
from src.deploy.runtime import Network, require

SUFFIX = ".onnx"

__all__ = [
    "FORMATS",
    "PRECISIONS",
    "SUFFIX",
    "Difference",
    "Expected",
    "ExportOptions",
    "Format",
    "Network",
    "OnnxNetwork",
    "Reader",
    "differences",
    "expected",
    "export_onnx",
    "graph_of",
    "require",
]
