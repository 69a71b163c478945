"""`python -m etlch` is `etlch`."""

from etlch.cli import run

run()
