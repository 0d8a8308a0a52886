"""Detectors side by side, each in a process of its own: what they cost and what they find.

Data flow one way: a name or a file -> :class:`Entry` (what is known of it before it runs) ->
:class:`Contender` (runs it, in a child process) -> :class:`Result` -> table and picture.
"""
