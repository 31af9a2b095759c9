"""The commands `photochrom web`: serve the review page, and keep its file of users."""

import sys
from getpass import getpass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from service.cli.options import ARCHIVE, DEFAULT_CONFIG, ConfigFile
from service.config.addresses import address, is_loopback
from service.config.loader import Config, load_config, load_for_web
from service.log import set_up_logging
from worker.errors import DeviceError

if TYPE_CHECKING:
    from service.web.users import UsersFile

DEFAULT_ADDRESS = "127.0.0.1:8420"

web_app = typer.Typer(help="Serve the review page, or keep its users.", invoke_without_command=True)

UserName = Annotated[str, typer.Argument(metavar="NAME", help="The name to log in with.")]


@web_app.callback(rich_help_panel=ARCHIVE)
def web(
    context: typer.Context,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS:PORT",
            help=f"Where to serve it; default: web.listen, or else {DEFAULT_ADDRESS}.",
        ),
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Serve the review page until stopped, beside a running daemon or without one.

    The page shows each photograph before and after; people correct colors, decide, upload scans
    and see how the service is.
    """
    if context.invoked_subcommand is not None:
        return
    settings = _with_address(load_for_web(config), listen)
    _need_extra()
    from service.filesystem import permissions
    from service.filesystem.access import refuse_strangers
    from service.web.app import create_app
    from service.web.server import bound, serve

    refuse_strangers(settings.state, write=True)
    permissions.adopt(settings.permissions)
    set_up_logging(settings.log.level, settings.log.format)
    where = str(settings.web.listen)
    with bound(where) as socket:
        host = address(where)[0]
        print(f"photochrom's review page: http://{_shown(host)}:{address(where)[1]}/", flush=True)
        structlog.get_logger().info("web.started", address=where)
        serve(create_app(settings, config), socket)


@web_app.command("add-user")
def add_user(
    name: UserName,
    role: Annotated[
        str,
        typer.Option(
            help="reader: may look; reviewer: may also decide, correct, upload and retry;"
            " operator: may also promote models."
        ),
    ] = "reviewer",
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Add a user of the review page, or give one another password and role.

    Asks for the password, or reads it from standard input.
    """
    users = _users(config)
    from service.web.users import Role

    if role not in list(Role):
        raise typer.BadParameter(f"is none of {', '.join(Role)}", param_hint="--role")
    new = users.add(name, Role(role), _password())
    print(f"{name} {'may now log in' if new else 'has a new password'}, as {role}")


@web_app.command("remove-user")
def remove_user(name: UserName, config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Remove a user of the review page, who is logged out at once."""
    _users(config).remove(name)
    print(f"{name} is removed")


@web_app.command("list-users")
def list_users(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """List the users of the review page with their roles."""
    users = _users(config)
    for user in users.users().values() if users.path.exists() else ():
        print(f"{user.name}\t{user.role}")


def _with_address(settings: Config, listen: str | None) -> Config:
    """Return the settings with an address to listen on.

    Raises:
        BadParameter: the address is none, or would let strangers in.
    """
    from service.config.web_access import open_to_all

    chosen = settings.web.model_copy(
        update={"listen": listen or settings.web.listen or DEFAULT_ADDRESS}
    )
    try:
        is_loopback(str(chosen.listen))
    except ValueError as error:
        text = "must be an IP address with a port, such as 127.0.0.1:8420"
        raise typer.BadParameter(text, param_hint="--listen") from error
    for key, text in open_to_all(chosen):
        raise typer.BadParameter(f"{key} {text}", param_hint="--listen")
    return settings.model_copy(update={"web": chosen})


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _users(config: Path) -> "UsersFile":
    _need_extra()
    from service.web.users import UsersFile

    path = load_config(config).web.users
    if path is None:
        raise DeviceError("web.users in the configuration names no file; such as state/web-users")
    return UsersFile(path)


def _password() -> str:
    """Ask for a password twice, or read one from standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass("Password: ")
    if password != getpass("Once more: "):
        raise DeviceError("the two passwords differ")
    return password


def _need_extra() -> None:
    if find_spec("starlette") is None:
        raise DeviceError("the review page needs the extra web: pip install 'photochrom[web]'")
