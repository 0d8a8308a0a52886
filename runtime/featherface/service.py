"""Faces over HTTP: ``POST /detect`` takes an image and answers with boxes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

import featherface
from featherface.detector import Detector
from featherface.images import TooManyPixels, decode_image
from featherface.outputs import face_as_dict


@dataclass(frozen=True)
class Limits:
    """What a client may ask for.

    Args:
        bytes: of a request.
        pixels: of an image.
        seconds: from the first byte to the answer, waiting included.
        queue: requests that are read, wait or are worked on; more are sent away.
    """

    bytes: int = 20_000_000
    pixels: int = 16_000_000
    seconds: float = 30.0
    queue: int = 16

    def __post_init__(self) -> None:
        if min(self.bytes, self.pixels, self.seconds, self.queue) <= 0:
            raise ValueError(f"expected limits above 0, got {asdict(self)}")


class FoundFace(BaseModel):
    """One face."""

    box: list[float]
    """x1, y1, x2, y2, pixels of the image as it is shown: turned as its EXIF data say."""
    score: float
    landmarks: list[list[float]] | None = None


class Found(BaseModel):
    """The faces of an image, best first."""

    width: int
    height: int
    milliseconds: float
    """Spent on this image, without waiting for others."""
    faces: list[FoundFace]


class Network(BaseModel):
    """What looks for faces."""

    name: str
    version: str
    parameters: int | None
    providers: list[str]
    threshold: float
    size: int | None
    limits: dict[str, int | float]


class _TooManyBytes(Exception):
    pass


_ANSWERS: dict[int | str, dict[str, Any]] = {
    400: {"description": "a form without a file, or a broken one"},
    408: {"description": "the image did not arrive in time"},
    413: {"description": "too many bytes or pixels"},
    415: {"description": "not an image"},
    503: {"description": "too many requests at once; try again"},
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY = {
    "required": True,
    "content": {
        "image/*": _BINARY,
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"file": _BINARY["schema"]}}
        },
    },
}


def create_app(
    detector: Detector, limits: Limits | None = None, *, landmarks: bool = False
) -> FastAPI:
    """The service as an ASGI application.

    One image is looked at at a time, with all threads of the detector; others wait.

    Args:
        detector: asked from one thread only.
        limits: what a client may ask for. Pixels are counted before decoding where the variable
            OPENCV_IO_MAX_IMAGE_PIXELS was set before OpenCV was imported, else after it.
        landmarks: whether they are part of the answer.
    """
    limits = limits or Limits()
    # Its own pages, but their scripts from the package and not from elsewhere.
    app = FastAPIOffline(
        title="featherface", version=featherface.__version__, summary="Finds faces in images",
        redoc_url=None,
    )  # fmt: skip
    worker = ThreadPoolExecutor(1)
    busy = 0

    @app.post(
        "/detect", responses=_ANSWERS, openapi_extra={"requestBody": _BODY},
        response_model_exclude_none=True,
    )  # fmt: skip
    async def detect(request: Request) -> Found:
        """The faces of an image: the bytes of its file, or a form with the file."""
        nonlocal busy
        if busy >= limits.queue:
            raise HTTPException(
                503, f"expected at most {limits.queue} requests at once, got more; try again",
                {"Retry-After": "1"},
            )  # fmt: skip
        busy += 1
        content = None
        try:
            async with asyncio.timeout(limits.seconds):
                content = await _image_of(request, limits.bytes)
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(worker, look, content)
        except TimeoutError:
            late = (408, "the image") if content is None else (503, "the answer")
            raise HTTPException(
                late[0], f"expected {late[1]} within {limits.seconds:g} seconds; try again"
            ) from None
        except _TooManyBytes:
            raise HTTPException(413, f"expected at most {limits.bytes:,} bytes, got more") from None
        except TooManyPixels:
            raise HTTPException(
                413, f"expected an image of at most {limits.pixels:,} pixels, got a larger one"
            ) from None
        except ValueError as error:
            raise HTTPException(415, str(error)) from None
        finally:
            busy -= 1

    def look(content: bytes) -> Found:
        begun = time.perf_counter()
        image = decode_image(content)
        height, width = image.shape[:2]
        if height * width > limits.pixels:
            raise TooManyPixels
        faces = [FoundFace(**face_as_dict(face, landmarks=landmarks)) for face in detector(image)]
        milliseconds = round(1000 * (time.perf_counter() - begun), 1)
        return Found(width=width, height=height, milliseconds=milliseconds, faces=faces)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether the service runs."""
        return {"status": "ok"}

    @app.get("/model")
    async def model() -> Network:
        """What looks for faces, and what it may be asked."""
        return Network(
            name=detector.model.name,
            version=featherface.__version__,
            parameters=detector.model.metadata.get("parameters"),
            providers=detector.model.providers,
            threshold=detector.threshold,
            size=detector.size,
            limits=asdict(limits),
        )

    return app


async def _image_of(request: Request, most: int) -> bytes:
    """The bytes of the image in a request, read to that many bytes.

    Raises:
        HTTPException: a form without a file, a broken form, or the client has gone.
        _TooManyBytes: there are more.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > most:
        raise _TooManyBytes
    try:
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            return b"".join([part async for part in _limited(request, most)])
        parser = MultiPartParser(
            request.headers, _limited(request, most), max_files=1, max_fields=10
        )
        form = await parser.parse()
        try:
            files = [value for value in form.values() if isinstance(value, UploadFile)]
            if not files:
                raise HTTPException(400, "expected a file in the form, got none")
            return await files[0].read()
        finally:
            await form.close()
    except MultiPartException as error:
        raise HTTPException(400, f"expected a form with a file, got: {error.message}") from None
    except ClientDisconnect:
        raise HTTPException(400, "expected an image, got the end of the connection") from None


async def _limited(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """The body of a request in parts."""
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise _TooManyBytes
        yield part
