"""The formats of exported files, and which runtimes read each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from src.deploy.executorch_file import LARGEST, ExecuTorchNetwork, export_executorch
from src.deploy.ncnn_file import NcnnNetwork, export_ncnn
from src.deploy.onnx_file import export_onnx
from src.deploy.onnx_runtime import OnnxFile
from src.deploy.opencv_runtime import OpenCVNetwork
from src.deploy.openvino_file import OpenVinoNetwork, export_openvino
from src.deploy.options import ExportOptions
from src.deploy.runtime import Network, check_installed, is_installed
from src.deploy.torch_files import TorchNetwork, export_pt2, export_torchscript
from src.models import FaceDetector

Open = Callable[[Path, Sequence[str], int], Network]


class Reader(NamedTuple):
    """A runtime that reads a format."""

    name: str
    package: str
    """The module that it is in."""
    open: Open
    """Takes the file, the names of its outputs and a number of threads."""

    @property
    def installed(self) -> bool:
        return is_installed(self.package)

    def load(self, file: Path, outputs: Sequence[str], *, threads: int = 1) -> Network:
        """The network of a file.

        Args:
            file: of this format; where it has several parts, the first.
            outputs: their names, in the order of the file.
            threads: of it alone, where the runtime has such; PyTorch, OpenCV and ExecuTorch go by
                what the process is set to.
        """
        return self.open(file, outputs, threads)


class Format(NamedTuple):
    """How a network becomes a file, what the file can hold, and who reads it."""

    suffixes: tuple[str, ...]
    """Of its files; the first is the one that is named."""
    write: Callable[[FaceDetector, Path, ExportOptions], None]
    readers: tuple[Reader, ...]
    """The first is the one that the format is made for."""
    packages: tuple[str, ...] = ()
    """Modules that writing and checking a file needs."""
    extra: str = "export"
    """What installs them."""
    decode: bool = False
    """Whether decoding can be in the graph."""
    nms: bool = False
    """Whether suppression can."""
    size: bool = False
    """Whether the file can be for images of one size alone."""
    precisions: tuple[str, ...] = ("fp32",)
    largest: int | None = None
    """Longest side of an image, pixels; None: any."""

    def parts(self, file: Path) -> list[Path]:
        """All files that ``file`` consists of, itself first."""
        stem = file.name.removesuffix(self.suffixes[0])
        return [file.with_name(stem + suffix) for suffix in self.suffixes]

    def require(self) -> None:
        """Raise a ValueError if a package is missing."""
        check_installed(*self.packages, extra=self.extra)

    def check(self, name: str, options: ExportOptions) -> None:
        """Raise a ValueError for what this format, called ``name``, cannot hold."""
        lacking = {
            "decode=true": options.decode and not self.decode,
            "nms=true": options.decoder is not None and not self.nms,
            f"precision={options.precision}": options.precision not in self.precisions,
            f"size={list(options.size or ())}": options.size is not None and not self.size,
        }
        for setting, lacks in lacking.items():
            if lacks:
                able = [other for other, each in FORMATS.items() if each.holds(setting)]
                raise ValueError(
                    f"expected one of format={', '.join(able)} for {setting}, got {name}"
                )

    def holds(self, setting: str) -> bool:
        name, value = setting.split("=")
        return value in self.precisions if name == "precision" else getattr(self, name)


_OPENVINO = Reader(
    "OpenVINO", "openvino", lambda file, outputs, n: OpenVinoNetwork(file, outputs, threads=n)
)
_TORCH = Reader("PyTorch", "torch", lambda file, outputs, _: TorchNetwork(file, outputs))


def _executorch(file: Path, outputs: Sequence[str], threads: int) -> Network:
    return ExecuTorchNetwork(file, outputs)


_EVERY = ("fp32", "fp16", "int8")

FORMATS = {
    "onnx": Format(
        (".onnx",), export_onnx,
        (
            Reader("ONNX Runtime", "onnxruntime", lambda file, _, n: OnnxFile(file, threads=n)),
            _OPENVINO,
            Reader("OpenCV", "cv2", lambda file, outputs, _: OpenCVNetwork(file, outputs)),
        ),
        packages=("onnx", "onnxscript", "onnxruntime"),
        decode=True, nms=True, size=True, precisions=_EVERY,
    ),
    "openvino": Format(
        (".xml", ".bin"), export_openvino, (_OPENVINO,),
        packages=("onnx", "onnxscript", "openvino"), extra="openvino",
        decode=True, nms=True, size=True, precisions=_EVERY,
    ),
    "ncnn": Format(
        (".ncnn.param", ".ncnn.bin"), export_ncnn,
        (Reader("ncnn", "ncnn", lambda file, names, n: NcnnNetwork(file, names, threads=n)),),
        packages=("ncnn", "pnnx"), extra="ncnn", precisions=("fp32", "fp16"),
    ),
    "executorch": Format(
        (".pte",), export_executorch,
        (Reader("ExecuTorch", "executorch", _executorch),),
        packages=("executorch",), extra="executorch", largest=LARGEST,
    ),
    "pt2": Format((".pt2",), export_pt2, (_TORCH,), decode=True),
    "torchscript": Format((".torchscript",), export_torchscript, (_TORCH,)),
}  # fmt: skip
"""By the name that ``format=`` takes."""
