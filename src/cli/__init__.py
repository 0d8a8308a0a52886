"""How commands start: what Hydra refuses, settings of the wrong type, and every mistake of a user
are one sentence."""

from src.cli.command import command

__all__ = ["command"]
