"""Command line: commands, options, tables and exit codes."""
