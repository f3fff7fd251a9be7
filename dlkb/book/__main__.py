"""Run the command line as `python -m dlkb.book`."""

from dlkb.book.cli import main

main()
