"""Files that appear whole or not at all, and JSON that every reader takes."""

from __future__ import annotations

import errno
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write instead of ``path``, beside it, that takes its place when all went well.

    A process killed on the way leaves the old file, or none; so does a machine that stops, for what
    is written reaches the disk before it is named. Folders are created.

    Raises:
        OSError: it cannot be written; names ``path``. What was written of it is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(partial, path)
    except OSError as error:
        own = error.filename is None or Path(os.fsdecode(error.filename)) == partial
        if error.errno is None or not own:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
    except RuntimeError as error:  # what PyTorch makes of a full disk
        if not re.search(_NOT_WRITTEN, str(error)):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
    finally:
        with suppress(OSError):  # the folder may be gone: the first error is the one to tell
            partial.unlink(missing_ok=True)


_NOT_WRITTEN = r"unexpected pos|PytorchStreamWriter failed|inline_container|fwrite|iostream error"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON that every reader takes: what cannot be measured (NaN) becomes null."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(_plain(content), indent=1) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
