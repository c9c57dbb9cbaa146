"""`python -m jobs`: the command `mupc`, where only its code is and not its installed script."""

from jobs.cli.main import main

main()
