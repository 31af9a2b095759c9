"""Tests for worker.viewing.confinement, each in a process of its own, as it cannot be undone."""

import subprocess
import sys

import pytest

from tests.support.heic_files import LYING, data_of

NETWORK = """
import socket, subprocess, sys
from worker.viewing.confinement import cut_off_network
assert cut_off_network()
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK):
    try:
        socket.socket(family)
    except PermissionError:
        print("refused")
one, other = socket.socketpair()
code = "import socket; socket.socket()"
child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
print(child.stderr.strip().splitlines()[-1])
"""
RESOURCES = """
import sys
from worker.viewing.confinement import MEMORY, address_space, limit_resources
began = address_space()
limit_resources(began)
try:
    bytearray(MEMORY)
except MemoryError:
    print("refused")
limit_resources(began, pixels=10_000_000, samples=30_000_000)
print(len(bytearray(MEMORY)) // MEMORY)
"""
HEIC = """
import sys
from pathlib import Path
from worker.formats.open_image import opened
from worker.settings import ReadSettings
from worker.viewing import confinement
confinement.cut_off_network()
confinement.limit_resources(confinement.address_space())
with opened(Path(sys.argv[1]), ReadSettings()) as (_format, (image,)):
    print(sum(len(band) for band in image.bands()) == image.height)
"""


def said(code: str, *arguments: str) -> list[str]:
    """Run code in a fresh Python; return the lines it prints."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()


def test_no_socket_can_be_made() -> None:
    """Neither here nor in what is started from here; those that are open stay so."""
    *here, child = said(NETWORK)

    assert ["refused"] * 4 == here
    assert "PermissionError: [Errno 13] Permission denied" == child


def test_memory_grows_with_the_page() -> None:
    """A header gets a gigabyte, a page what its decoder may need."""
    assert ["refused", "1"] == said(RESOURCES)


def test_a_decoder_in_a_process_of_its_own_still_works(tmp_path: object) -> None:
    """HEIC is decoded by a child of the child."""
    pytest.importorskip("pi_heif")
    path = f"{tmp_path}/lying.heic"
    with open(path, "wb") as file:  # noqa: PTH123 - a test's file
        file.write(data_of(LYING))

    assert ["True"] == said(HEIC, path)
