"""``featherface photo.jpg``: find faces in photos, videos, folders and the frames of a camera.

Exit codes: 0, all was read; 1, something could not be read, the rest was done; 2, it cannot be
done, for the reason said; 130, interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import featherface
from featherface.options import REFUSED, Parser, add_detector_options
from featherface.progress import Progress
from featherface.terminal import say

if TYPE_CHECKING:  # for speed: --help needs neither OpenCV nor ONNX Runtime
    from featherface.detector import Detector
    from featherface.faces import Faces
    from featherface.outputs import Output
    from featherface.sources import Frame, Source

READ, UNREAD, INTERRUPTED = 0, 1, 130
"""Exit codes, beside REFUSED."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # names may be no UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if words[:1] == ["serve"]:
            from featherface.serving import serve

            return serve(words[1:])
        if words[:1] == ["web"]:
            from featherface.web import web

            return web(words[1:])
        return _run(_parser().parse_args(words))
    except (ValueError, OSError, ImportError) as error:
        if isinstance(error, BrokenPipeError):  # whoever read our output has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return UNREAD
        say(f"error: {error}")
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(given: argparse.Namespace) -> int:
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # read at import; we say what is wrong
    from featherface.detector import Detector
    from featherface.sources import find_sources

    if given.json == _STDOUT == given.csv:
        raise ValueError("expected --json or --csv on the standard output, got both; give a FILE")
    sources = find_sources(given.sources, given.camera, given.output)
    detector = Detector(
        given.model, threshold=given.threshold, size=given.size, providers=given.providers
    )
    with contextlib.ExitStack() as stack:
        outputs = _outputs(given, sources, stack)
        num_faces, failures, interrupted = _look(detector, sources, outputs)
    if len(failures) < len(sources):
        occupied = _STDOUT in (given.json, given.csv)
        summary = _summary(given, sources, num_faces, failures)
        say(summary, sys.stderr if occupied else sys.stdout)
    for failure in failures:
        say(f"left out: {failure}")
    if interrupted and given.camera is None:
        return INTERRUPTED
    return UNREAD if failures else READ


def _look(
    detector: Detector, sources: Sequence[Source], outputs: Sequence[Output]
) -> tuple[int, list[str], bool]:
    """Tell the outputs of every frame.

    Returns:
        How many faces there are, what could not be read, and whether Ctrl-C ended it.
    """
    num_faces, failures = 0, []
    files = Progress("faces", len(sources), "files")
    with _ctrl_c() as pressed:
        for done, source in enumerate(sources):
            files.update(done)
            frames = None
            for seen in _found(detector, source):
                if isinstance(seen, str):
                    failures.append(seen)
                    for output in outputs:
                        output.fail(source, seen)
                    continue
                frame, faces = seen
                num_faces += len(faces)
                for output in outputs:
                    output.add(source, frame, faces)
                if frame.number is not None:
                    frames = frames or Progress(str(source), frame.total, "frames")
                    frames.update(frame.number + 1)
                if pressed:
                    break
            if frames:
                frames.close()
            if pressed:
                break
    files.close()
    return num_faces, failures, bool(pressed)


def _found(detector: Detector, source: Source) -> Iterator[tuple[Frame, Faces] | str]:
    """The faces of every frame, and if it cannot be read, or not further, why."""
    try:
        for frame in source.frames():
            yield frame, detector(frame.image)
    except ValueError as error:
        yield str(error)


@contextlib.contextmanager
def _ctrl_c() -> Iterator[list[int]]:
    """Fills a list at the first Ctrl-C, so that what is being written gets finished."""
    pressed: list[int] = []

    def stop(number: int, _: object) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:  # started in the background
        yield pressed
        return
    signal.signal(signal.SIGINT, stop)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _outputs(
    given: argparse.Namespace, sources: Sequence[Source], stack: contextlib.ExitStack
) -> list[Output]:
    """What is asked for; drawings if nothing is. The stack closes it."""
    from featherface import outputs

    made: list[Output] = []
    if given.draw or not (given.crops or given.json or given.csv):
        for source in sources:
            place, target = source.place, given.output / source.target
            if isinstance(place, Path) and target.resolve() == place.resolve():
                raise ValueError(
                    f"expected an --output folder apart from the photos, got {given.output}, where "
                    f"drawing would replace {place}"
                )
        made.append(outputs.Drawings(given.output, landmarks=given.landmarks))
    if given.crops:
        made.append(outputs.Crops(given.output / "crops"))
    if given.json:
        made.append(outputs.Json(_stream(given.json, stack), landmarks=given.landmarks))
    if given.csv:
        made.append(outputs.Csv(_stream(given.csv, stack), landmarks=given.landmarks))
    for each in made:
        stack.callback(each.close)
    return made


def _stream(file: Path, stack: contextlib.ExitStack) -> TextIO:
    if file == _STDOUT:
        return sys.stdout
    file.parent.mkdir(parents=True, exist_ok=True)
    # A name that is not UTF-8 has its bytes as \udcff, which is also how JSON has them.
    return stack.enter_context(
        file.open("w", encoding="utf-8", errors="backslashreplace", newline="")
    )


def _summary(
    given: argparse.Namespace, sources: Sequence[Source], num_faces: int, failures: Sequence[str]
) -> str:
    files = str(sources[0]) if len(sources) == 1 else f"{len(sources)} files"
    places = [] if (given.json or given.csv) and not (given.draw or given.crops) else [given.output]
    places += [file for file in (given.json, given.csv) if file not in (None, _STDOUT)]
    left_out = f", {len(failures)} could not be read" if failures else ""
    found = f"{files}: {num_faces} face{'s' * (num_faces != 1)}{left_out}"
    return f"{found}; written to {', '.join(map(str, places))}" if places else found


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="featherface",
        description="Find faces in photos, videos, folders of them, and the frames of a camera. "
        "Other commands: featherface web, a page that does it in the browser; featherface serve, "
        "a service that does it over HTTP.",
        epilog="Exit codes: 0, all was read; 1, something could not be read, the rest was done; "
        "2, it cannot be done, for the reason said; 130, interrupted. Ctrl-C ends a camera.",
    )
    add = parser.add_argument
    add("sources", nargs="*", type=Path, metavar="SOURCE", help="a photo, a video or a folder")
    add("--camera", type=_camera, metavar="N", help="look through a camera, the first is 0")
    add("--output", type=Path, default=Path("faces"), metavar="FOLDER",
        help="where pictures go (default: %(default)s)")  # fmt: skip
    add("--draw", action="store_true",
        help="draw boxes on copies, which is done anyway if nothing else is asked for")  # fmt: skip
    add("--crops", action="store_true", help="write each face as a picture, to FOLDER/crops")
    for kind, what in (("json", "a list of photos and frames"), ("csv", "a row for each face")):
        add(f"--{kind}", nargs="?", const=_STDOUT, type=_file(f".{kind}"), metavar="FILE",
            help=f"write {what} to the file, or without FILE to the standard output")  # fmt: skip
    add_detector_options(parser)
    add("--version", action="version", version=f"featherface {featherface.__version__}")
    return parser


_STDOUT = Path("-")


def _file(suffix: str) -> Callable[[str], Path]:
    """A parser of file names: a photo behind --json must not become its target."""

    def parse(text: str) -> Path:
        if not text.endswith(suffix) and text != str(_STDOUT):
            raise argparse.ArgumentTypeError(
                f"expected a file ending in {suffix}, got {text}; photos come before the options"
            )
        return Path(text)

    return parse


def _camera(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected the number of a camera, such as 0, got {text}")
    return int(text)
