"""Run the command line as `python -m dlkb`."""

from dlkb.book.cli import main

main()
