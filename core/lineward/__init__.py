"""Lineward's core: what a dataset version is, who vouches for it, and whether a pod may train on it.

`domain` decides and does no I/O; `ports` says what it needs from the world; `adapters` supply that;
`cli` is for people.
"""

__version__ = "0.1.0.dev0"
