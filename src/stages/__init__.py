"""A chain of commands: what each needs, whether it is done, and what became of it."""

from src.stages.chain import Chain
from src.stages.plan import Stage, read_plan
from src.stages.verdict import Goal, judge

__all__ = ["Chain", "Goal", "Stage", "judge", "read_plan"]
