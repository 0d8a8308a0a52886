"""``featherface serve``: the service as a process."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import sys
from collections.abc import Sequence

from featherface.options import Parser, add_detector_options, not_listening

_CONNECTIONS = 256
"""Open at once; uvicorn sends others away."""


def serve(arguments: Sequence[str]) -> int:
    """Serve until Ctrl-C; returns the exit code."""
    parser = Parser(
        prog="featherface serve",
        description="Find faces for others, over HTTP: POST the bytes of an image to /detect. "
        "/docs describes it, /health and /model say how it is.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address (default: %(default)s, this machine only)")
    add("--port", type=int, default=8000, help="0: any that is free (default: %(default)s)")
    add("--max-bytes", type=int, default=20_000_000, metavar="N",
        help="of a request (default: %(default)s)")  # fmt: skip
    add("--max-pixels", type=int, default=16_000_000, metavar="N",
        help="of an image; looking needs 60 bytes for each (default: %(default)s)")  # fmt: skip
    add("--max-seconds", type=float, default=30.0, metavar="S",
        help="from request to answer (default: %(default)s)")  # fmt: skip
    add("--max-queue", type=int, default=16, metavar="N",
        help="requests at once, waiting included (default: %(default)s)")  # fmt: skip
    add_detector_options(parser)
    given = parser.parse_args(arguments)
    # Read when OpenCV is imported: a picture that unfolds to gigabytes is refused by its header.
    os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(given.max_pixels)
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    try:
        import uvicorn

        from featherface.service import Limits, create_app
    except ImportError as error:
        raise ImportError(
            f"expected the packages of featherface serve, got: {error}; run pip install "
            "'featherface[serve]'"
        ) from error
    from featherface.detector import Detector

    limits = Limits(given.max_bytes, given.max_pixels, given.max_seconds, given.max_queue)
    detector = Detector(
        given.model, threshold=given.threshold, size=given.size, providers=given.providers
    )
    app = create_app(detector, limits, landmarks=given.landmarks)
    family = socket.AF_INET6 if ":" in given.host else socket.AF_INET
    try:
        listening = socket.create_server((given.host, given.port), family=family)
    except OSError as error:
        raise not_listening(given.host, given.port, error) from None
    with listening:
        port = listening.getsockname()[1]
        where = f"[{given.host}]" if family == socket.AF_INET6 else given.host
        print(f"serving on http://{where}:{port}, described at /docs; Ctrl-C ends it", flush=True)
        if not _is_loopback(given.host):
            print("note: everyone who reaches this address may use it", file=sys.stderr)
        config = uvicorn.Config(
            app, log_level="warning", limit_concurrency=_CONNECTIONS, timeout_graceful_shutdown=5
        )
        with contextlib.suppress(KeyboardInterrupt):  # raised again after a graceful end
            uvicorn.Server(config).run([listening])
    return 0


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
