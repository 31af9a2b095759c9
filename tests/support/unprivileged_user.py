"""Functions run as somebody whom permissions bind, though the tests run as root."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

USER, GROUP = 54_321, 54_322  # of nobody here
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


def reachable_folder() -> Iterator[Path]:
    """Make a folder that other users can reach; pytest closes its own to them, at any moment."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def as_nobody(function: Callable[[], Any], *, groups: tuple[int, ...] = ()) -> Any:
    """Call a function in a child process of another user; return what it does, by way of JSON.

    Args:
        function: what to call; an OSError of it fails the test.
        groups: which others that user is a member of.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            os.setgroups(groups)
            os.setresgid(GROUP, GROUP, GROUP)
            os.setresuid(USER, USER, USER)
            answer = {"done": function()}
        except BaseException as error:  # noqa: BLE001 - the parent is told, whatever it is
            answer = {"failed": repr(error)}
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        answer = json.loads(file.read() or b'{"failed": "no answer"}')
    os.waitpid(child, 0)
    assert "done" in answer, answer
    return answer["done"]
