"""Folders of options that a command line adds: ``--config-dir`` and ``hydra.searchpath``.

Each of their files is looked at when Hydra reads it, as one given as an option. docs/security.md.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.core_plugins.importlib_resources_config_source import (
    ImportlibResourcesConfigSource,
)
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult

from src.cli.options import CONF, read_option

_PROVIDERS = ("command-line", "hydra.searchpath in command-line", "hydra.searchpath in main")
"""What Hydra calls folders that are neither the program's nor its own."""


def watch_folders() -> None:
    """Have Hydra read folders through this module from now on; more than once changes nothing.

    By its registry of sources and not before it reads, so that what is looked at is what is read,
    whatever the command line, links and ``..`` call it.
    """
    Plugins.instance()  # registers Hydra's own first
    SourcesRegistry.instance().types.update(file=WatchedFolder, pkg=WatchedPackage)


class WatchedFolder(FileConfigSource):
    """A folder with files of settings."""

    def load_config(self, config_path: str) -> ConfigResult:
        """Raises ValueError naming the file, if it sets what it may not."""
        file = Path(self.path) / self._normalize_file_name(config_path)
        if self.provider in _PROVIDERS and file.exists():
            read_option(file, _group(config_path, file))
        return super().load_config(config_path)


class WatchedPackage(ImportlibResourcesConfigSource):
    """A Python package with files of settings."""

    def load_config(self, config_path: str) -> ConfigResult:
        """Raises ValueError if the command line named the package: its code may be anyone's."""
        if self.provider in _PROVIDERS:
            raise ValueError(
                f"expected hydra.searchpath= of folders, got pkg://{self.path}; write its path"
            )
        return super().load_config(config_path)


def _group(config_path: str, file: Path) -> str:
    """The group of ``conf/`` that a file of another folder belongs to, or one of its own."""
    folder = PurePosixPath(config_path.lstrip("/")).parent
    if not folder.parts or ".." in folder.parts:
        raise ValueError(
            "expected options of groups, such as optimizer/mine.yaml, in an added folder, got "
            f"{file}"
        )
    known = [each for each in (folder, *folder.parents) if (CONF / each).is_dir()]
    return str(known[0] if known[0].parts else folder)
