"""Serves the page with uvicorn, until a signal stops it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn
from starlette.applications import Starlette

from service.config.addresses import address
from worker.errors import DeviceError

STOP_WITHIN = 10  # seconds for requests in progress
MOST_CONNECTIONS = 500


@contextmanager
def bound(listen: str) -> Iterator[socket.socket]:
    """Open the port.

    Args:
        listen: IP address and port.

    Raises:
        DeviceError: the port is in use, or not this user's to open.
    """
    host, port = address(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise DeviceError(f"cannot listen on {listen}: {error.strerror}") from error
    with listening:
        # Connections inherit it. asyncio sets it only on sockets made with IPPROTO_TCP; without it
        # a picture whose last part is small comes 40 ms late.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listening


def serve(app: Starlette, listening: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        app: from `create_app`.
        listening: from `bound`.
    """
    settings = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # `Sessions` believes only the proxies in web.trusted_proxies
        timeout_graceful_shutdown=STOP_WITHIN,
        limit_concurrency=MOST_CONNECTIONS,
        ws="none",
    )
    with suppress(KeyboardInterrupt):  # uvicorn stops first, then raises it again
        uvicorn.Server(settings).run(sockets=[listening])
