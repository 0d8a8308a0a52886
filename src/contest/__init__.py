"""Detectors side by side, each in a process of its own: what they cost and what they find.

Data flow one way: a name or a file -> :class:`Entry` (what is known of it before it runs) ->
:class:`Contender` (runs it, in a child process) -> :class:`Result` -> table and picture.

Checkpoints alone need no processes: :mod:`src.contest.checkpoints` evaluates them one by one and
shows on a page where they differ.
"""
