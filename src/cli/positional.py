"""Files that are named without a setting: ``python -m src.compare a.ckpt b.ckpt``.

Hydra's grammar knows settings alone, so they become one before it reads the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString

_TAKE_A_VALUE = (
    "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd", "--package", "-p",
    "--cfg", "-c", "--info", "-i",
)  # fmt: skip
"""Options of Hydra behind which a word is theirs."""


def name_files(arguments: Sequence[str], setting: str) -> list[str]:
    """The command line with the files in it as ``setting=[...]``, behind everything else.

    Args:
        arguments: of the command line.
        setting: that the files are values of.

    Raises:
        ValueError: files beside that setting.
    """
    files = [
        word
        for before, word in zip(["", *arguments], arguments, strict=False)
        if before not in _TAKE_A_VALUE and _is_file(word)
    ]
    if not files:
        return list(arguments)
    named = [word for word in arguments if word.lstrip("+").startswith(f"{setting}=")]
    if named:
        raise ValueError(
            f"expected files either by themselves or as {setting}=[...], got {', '.join(files)} "
            f"beside {named[0]}; name all of them in one way"
        )
    quoted = ",".join(QuotedString(file, Quote.single).with_quotes() for file in files)
    return [*(word for word in arguments if word not in files), f"{setting}=[{quoted}]"]


def _is_file(word: str) -> bool:
    """Whether a word is no setting and no option; Lightning calls files ``epoch=3.ckpt``."""
    return not word.startswith(("-", "~")) and ("=" not in word or Path(word).is_file())
