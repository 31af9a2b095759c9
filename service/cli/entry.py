"""The program `photochrom`, which answers what is asked most often without the other commands."""

import sys

from service.cli.command_line import new_app, run_app
from service.cli.status_commands import status_app

QUICK = {"status", "where", "find"}  # the commands of `status_app`


def main() -> None:
    """Run the command line, as the installed program does."""
    if QUICK.isdisjoint(sys.argv[1:2]):
        from service.cli.main import app
    else:
        app = new_app()
        app.add_typer(status_app)
    run_app(app)


if __name__ == "__main__":
    main()
