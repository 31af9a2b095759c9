"""Addresses to listen on, as settings have them."""

import ipaddress
import re


def address(text: str) -> tuple[str, int]:
    """Split an address such as "127.0.0.1:9183" or "[::1]:9183" into host and port.

    Raises:
        ValueError: it is not an IP address with a port.
    """
    host, _, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    ipaddress.ip_address(host)
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise ValueError
    return host, int(port)


def is_loopback(text: str) -> bool:
    """Tell whether only this machine reaches an address, as `address` takes it."""
    return ipaddress.ip_address(address(text)[0]).is_loopback


def checked_address(text: str) -> str:
    """Return a text that `address` takes, or raise ValueError."""
    address(text)
    return text


def checked_place(text: str) -> str:
    """Return a text that is a host, by name or IP address, with a port, or raise ValueError."""
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\]", host):
        raise ValueError
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise ValueError
    return text


def is_on_this_machine(text: str) -> bool:
    """Tell whether a host with a port, as `checked_place` takes it, is reached from here only."""
    host = text.rpartition(":")[0]
    try:
        return is_loopback(text)
    except ValueError:
        return host == "localhost"


def checked_loopback(text: str) -> str:
    """Return the address if only this machine reaches it, or raise ValueError."""
    if not is_loopback(text):
        raise ValueError
    return text


def checked_network(text: str) -> str:
    """Return a text that is a network, such as 10.0.0.0/8, or raise ValueError."""
    ipaddress.ip_network(text)
    return text
