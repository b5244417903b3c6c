"""Command line: commands, options, tables and exit codes."""

from kit.cli.app import main

__all__ = ["main"]
