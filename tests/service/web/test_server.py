"""The port that the page is served on."""

import socket

from service.web.server import bound


def test_small_answers_are_sent_at_once() -> None:
    """Connections do not wait for an acknowledgement (Nagle's algorithm) before the last part."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    with (
        bound("{}:{}".format(*address)) as listening,
        socket.create_connection(address),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
