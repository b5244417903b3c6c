"""Run the command line as a module: `python -m kit.cli`."""

from kit.cli.app import main

main()
