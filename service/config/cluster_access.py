"""Checks `engine` in config.yaml: nobody commands the cluster without its token.

Whoever may give a Ray cluster work may run any program on all of its machines.
"""

import os
import stat
from importlib.util import find_spec

from service.config.addresses import is_on_this_machine
from service.config.engine_section import Engine


def open_cluster(engine: Engine) -> list[tuple[str, str]]:
    """Find a cluster on other machines that would be used without a token.

    Returns:
        The key in config.yaml and a message.
    """
    if engine.kind != "ray" or is_on_this_machine(engine.address) or engine.token is not None:
        return []
    text = (
        "is on other machines, so it needs engine.token as well: the file with the cluster's token"
    )
    return [("engine.address", f"{text} (docs/scale.md)")]


def check_cluster(engine: Engine) -> list[tuple[str, str]]:
    """Check that Ray is installed, and the token readable and private, if a cluster colors.

    Returns:
        The key in config.yaml and a message for each problem.
    """
    if engine.kind != "ray":
        return []
    problems = []
    if find_spec("ray") is None:
        problems.append(("engine.kind", "needs the extra ray: pip install 'photochrom[ray]'"))
    if engine.token is not None:
        try:
            with engine.token.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
        except OSError as error:
            problems.append(("engine.token", f"{engine.token} cannot be read: {error.strerror}"))
        else:
            if mode & (stat.S_IROTH | stat.S_IWOTH):
                text = f"{engine.token} is accessible to all users; run: chmod o= {engine.token}"
                problems.append(("engine.token", text))
    return problems
