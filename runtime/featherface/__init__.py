"""Find faces in images: ``faces = Detector()(image)``. Needs neither PyTorch nor a download.

>>> from featherface import Detector, read_image
>>> faces = Detector()(read_image("photo.jpg"))
>>> faces.boxes, faces.scores
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from featherface.detector import Detector
    from featherface.faces import Face, Faces
    from featherface.images import read_image
    from featherface.models import MODELS

__all__ = ["MODELS", "Detector", "Face", "Faces", "read_image"]
__version__ = "0.1.0"

_MODULES = {
    "Detector": "detector",
    "Face": "faces",
    "Faces": "faces",
    "MODELS": "models",
    "read_image": "images",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: what is missing can then be said in one sentence."""
    if name in _MODULES:
        return getattr(import_module(f"featherface.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'featherface' has no attribute {name!r}")
