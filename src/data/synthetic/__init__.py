"""The generated data set, ``data=synthetic``: drawn faces in the folder layout of WIDER FACE.

``tree`` writes the folder and ``worker`` one image of it, ``scene`` composes an image from
``layout``, ``background``, ``person``, ``distractors``, ``occlusion`` and ``camera``, and
``labels`` decides what is labelled. The workers import this file too: no torch, no scipy here.
"""

from src.data.synthetic.spec import SyntheticSpec
from src.data.synthetic.tree import generate, is_complete

__all__ = ["SyntheticSpec", "generate", "is_complete"]
