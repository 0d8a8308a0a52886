"""Damaged versions of a file, the same for the same seed."""

from __future__ import annotations

import random

TOKENS = [
    b"nan", b"inf", b"-1", b"1e999", b"1_0", b"0", b"9" * 30, b"..", b"/", b"\0", b"\xff", b"\n",
    b"{", b"]", b'"', b"#", b"&a", b"*a", b"null", b"true", b" ", b"\xef\xbb\xbf", b"\x80" * 8,
]  # fmt: skip
_EXTREMES = (0, 1, 127, 128, 255)


def damaged(content: bytes, rng: random.Random) -> bytes:
    """The content after one to four changes."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if not changed:
            break
        place = rng.randrange(len(changed))
        kind = rng.randrange(7)
        if kind < 3:
            changed[place] = rng.choice((rng.randrange(256), *_EXTREMES))
        elif kind == 3:
            changed[place : place + rng.randrange(1, 9)] = rng.choice(TOKENS)
        elif kind == 4:
            changed[place:place] = rng.choice(TOKENS)
        elif kind == 5:
            end = place + rng.randrange(1, 200)
            changed[place:place] = changed[place:end]
        else:
            del changed[place if rng.random() < 0.3 else place + rng.randrange(50) :]
    return bytes(changed)
