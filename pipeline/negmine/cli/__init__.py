"""The command line: one command is one call into the package."""
