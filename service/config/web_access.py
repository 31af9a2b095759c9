"""Checks `web` in config.yaml: nobody but this machine's users gets in without a name."""

import stat
from importlib.util import find_spec

from service.config.addresses import is_loopback
from service.config.sections import Web


def open_to_all(web: Web) -> list[tuple[str, str]]:
    """Find settings that would let strangers in.

    Returns:
        The key in config.yaml and a message for each.
    """
    problems = []
    asks = web.users is not None or web.trusted_header is not None
    if web.listen is not None and not is_loopback(web.listen) and not asks:
        text = "is open to other machines, so it needs web.users or web.trusted_header as well"
        problems.append(("web.listen", text))
    if web.hosts and not asks:
        text = "lets other machines in by these names, so it needs web.users or web.trusted_header"
        problems.append(("web.hosts", f"{text} as well"))
    if web.trusted_header is not None and not web.trusted_proxies:
        text = "needs web.trusted_proxies as well: the addresses of the proxies to believe"
        problems.append(("web.trusted_header", text))
    return problems


def check_web(web: Web) -> list[tuple[str, str]]:
    """Check that the page can be served, if it is to be.

    Returns:
        The key in config.yaml and a message for each problem.
    """
    problems = []
    if web.users is not None:
        try:
            mode = web.users.stat().st_mode
        except FileNotFoundError:
            text = f"{web.users} does not exist; run: photochrom web add-user NAME --role operator"
            problems.append(("web.users", text))
        except OSError as error:
            problems.append(("web.users", f"{web.users} cannot be read: {error.strerror}"))
        else:
            if mode & (stat.S_IROTH | stat.S_IWOTH):
                text = f"{web.users} is accessible to all users; run: chmod o= {web.users}"
                problems.append(("web.users", text))
    if web.listen is not None and find_spec("starlette") is None:
        problems.append(("web.listen", "needs the extra web: pip install 'photochrom[web]'"))
    return problems
