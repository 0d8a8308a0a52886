"""The generated data set, ``data=synthetic``: drawn faces in the folder layout of WIDER FACE.

``tree`` writes the folder and ``worker`` one image of it; ``scene`` composes and labels an image of
what ``layout`` places and ``background``, ``person``, ``objects`` and ``camera`` draw. The workers
import this file too: no torch, no scipy here.
"""

from src.synthetic.tree import SyntheticSpec, generate, is_complete

__all__ = ["SyntheticSpec", "generate", "is_complete"]
