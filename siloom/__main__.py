"""``python -m siloom``: the command line."""

from siloom.cli import main

main()
