"""The commands of `etlch`, a module each family: the parsers, next to what they run.

A module's `add(commands, raw)` adds its parsers; `raw` keeps the line ends of a description. Whatever is slow to import is
imported when a command runs.
"""
