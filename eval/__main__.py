"""`python -m eval COMMAND ...`: another way to say `etlch COMMAND ...`."""

from etlch.cli import run

if __name__ == "__main__":
    run()
