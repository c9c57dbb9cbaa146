"""The command `mupc` as `python -m jobs`."""

from jobs.cli.main import main

main()
