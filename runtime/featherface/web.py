"""``featherface web``: a page that finds faces in the browser, as a folder of files, and served.

The page and the networks are part of the package. ONNX Runtime Web, larger than both, is a package
of npm and fetched with that when the folder is first built; after that nothing is fetched.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import featherface
from featherface.models import MODELS, model_file
from featherface.options import Parser, not_listening

_HOST = "127.0.0.1"
PAGE = Path(__file__).resolve().parent / "page"
RUNTIME = "onnxruntime-web@1.30.0"
"""Package of npm."""
FILES = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",  # noqa: E501
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",  # noqa: E501
}
"""What the page needs of it, with SHA-256."""


def web(arguments: Sequence[str]) -> int:
    """Build the page and serve it until Ctrl-C; returns the exit code."""
    parser = Parser(
        prog="featherface web",
        description="A page that finds faces in the browser, with pictures that do not leave it.",
    )
    add = parser.add_argument
    add("--folder", type=Path, default=_cache() / f"web-{featherface.__version__}",
        help="where its files are written (default: %(default)s)")  # fmt: skip
    add("--build", action="store_true", help="only write the files, to host them elsewhere")
    add("--port", type=int, default=8001, help="0: any that is free (default: %(default)s)")
    add("--model", type=Path, action="append", default=[], metavar="FILE",
        help="an ONNX file to choose beside those inside; may be repeated")  # fmt: skip
    add("--runtime", type=Path, metavar="FOLDER",
        help=f"the dist folder of {RUNTIME}; without it npm fetches one")  # fmt: skip
    given = parser.parse_args(arguments)
    build(given.folder, given.model, runtime=given.runtime)
    if given.build:
        print(f"written to {given.folder}; any web server can serve it")
        return 0
    handler = partial(_Handler, directory=str(given.folder))
    try:
        server = ThreadingHTTPServer((_HOST, given.port), handler)
    except OSError as error:
        raise not_listening(_HOST, given.port, error) from None
    with server:
        print(f"open http://{_HOST}:{server.server_port}; Ctrl-C ends it", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    return 0


def build(folder: Path, models: Sequence[Path] = (), *, runtime: Path | None = None) -> None:
    """Write the page to a folder.

    Args:
        folder: is made; what else is in it stays.
        models: ONNX files beside those inside the package.
        runtime: where the files of ONNX Runtime Web are; None: in the folder, or from npm.

    Raises:
        FileNotFoundError: a model or a file of the runtime is missing, or npm is.
        ValueError: a file of the runtime is not the one that was tested, or npm cannot fetch it.
        OSError: the folder cannot be written.
    """
    files = {name: model_file(name) for name in MODELS} | {file.stem: file for file in models}
    for file in files.values():
        if not file.is_file():
            raise FileNotFoundError(f"expected an ONNX file at {file}, got nothing")
    (folder / "models").mkdir(parents=True, exist_ok=True)
    (folder / "ort").mkdir(exist_ok=True)
    if runtime is not None or not _is_whole(folder / "ort"):
        with _fetched() if runtime is None else contextlib.nullcontext(runtime) as source:
            for name in FILES:
                if not (source / name).is_file():
                    raise FileNotFoundError(f"expected {name} of {RUNTIME} in {source}, got none")
                shutil.copyfile(source / name, folder / "ort" / name)
        if not _is_whole(folder / "ort"):
            raise ValueError(f"expected the files of {RUNTIME}, got others in {runtime or 'npm'}")
    for page in PAGE.iterdir():
        shutil.copyfile(page, folder / page.name)
    for name, file in files.items():
        shutil.copyfile(file, folder / "models" / f"{name}.onnx")
    listed = [{"name": name, "file": f"models/{name}.onnx"} for name in files]
    (folder / "models.json").write_text(json.dumps(listed), encoding="utf-8")


def _is_whole(folder: Path) -> bool:
    """Whether the files of ONNX Runtime Web are there, byte for byte."""
    return all(
        (folder / name).is_file()
        and hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
        for name, digest in FILES.items()
    )


@contextlib.contextmanager
def _fetched() -> Iterator[Path]:
    """A temporary folder with what npm has of ONNX Runtime Web."""
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError(
            f"expected npm to fetch {RUNTIME}, got none; install Node.js, or name the package's "
            "dist folder with --runtime"
        )
    with tempfile.TemporaryDirectory() as folder:
        ended = subprocess.run(
            [npm, "pack", "--silent", RUNTIME], cwd=folder, capture_output=True, text=True
        )
        packed = list(Path(folder).glob("*.tgz"))
        if ended.returncode or not packed:
            reason = (ended.stderr.strip() or "nothing").splitlines()[-1]
            raise ValueError(f"expected npm to fetch {RUNTIME}, got: {reason}")
        with tarfile.open(packed[0]) as archive:
            for name in FILES:
                archive.extract(f"package/dist/{name}", folder, filter="data")
        yield Path(folder) / "package/dist"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "featherface"


class _Handler(SimpleHTTPRequestHandler):
    """Files of one folder, with what lets the page use several threads."""

    extensions_map = {  # noqa: RUF012 - as in the class above
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing of every file."""
