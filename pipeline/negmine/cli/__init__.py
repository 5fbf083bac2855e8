"""The command line: one command is one call into the package."""

from negmine.cli.app import main

__all__ = ["main"]
