"""The command `mupc`, also as `python -m mupc`."""

import sys

from mupc import check_packages


def main() -> None:
    """Run the command line, or exit with status 2 if a user's module hides one of the packages."""
    try:
        check_packages()
    except ImportError as error:
        print(f"mupc: {error}", file=sys.stderr)
        sys.exit(2)
    from jobs.cli.main import main as run_command

    run_command()


if __name__ == "__main__":
    main()
