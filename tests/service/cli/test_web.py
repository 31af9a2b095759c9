"""`photochrom web`: the command that serves the page, and those for its users."""

import re
import subprocess
from pathlib import Path

import httpx

from tests.support.command import HASTY, PHOTOCHROM, Command, Home
from tests.support.waiting import wait_until
from tests.support.web_client import PASSWORD


def users(
    folder: Path, *words: str, password: str = PASSWORD
) -> "subprocess.CompletedProcess[str]":
    """Run one of the commands for users."""
    return subprocess.run(
        [PHOTOCHROM, "web", *words, "--config", folder / "config.yaml"],
        input=f"{password}\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def address_of(command: Command) -> str:
    """Return the address that a served page prints, once it does."""
    wait_until(lambda: "http://" in command.printed or command.process.poll() is not None, 60)
    found = re.search(r"http://\S+", command.printed)
    assert found, command.said
    return found[0]


def test_the_page_is_served_and_stops(tmp_path: Path) -> None:
    """It prints its address, answers there, and ends on SIGTERM."""
    home = Home(tmp_path / "home")
    with home.start("web", "--listen", "127.0.0.1:18420") as command:
        address = address_of(command)
        answer = httpx.get(f"{address}no-such-page")
        command.process.terminate()
        command.process.wait(30)

    assert ("http://127.0.0.1:18420/", 404) == (address, answer.status_code)
    assert command.events("web.started", address="127.0.0.1:18420")
    assert "Traceback" not in command.said


def test_folders_it_need_not_write_may_be_closed(tmp_path: Path) -> None:
    """As to its unit; the daemon's own check is not the page's. Mistakes end it with 78."""
    home = Home(tmp_path / "home", HASTY + "outbox: config.yaml/nowhere\n")
    with home.start("web", "--listen", "127.0.0.1:18423") as command:
        assert httpx.get(address_of(command)).status_code in {200, 303}
    (home.folder / "config.yaml").write_text("web: {listen: 0.0.0.0:1, users: missing}\nx: 1\n")
    with home.start("web") as command:
        assert 78 == command.process.wait(60)

    assert "web.users" in command.said
    assert "config.yaml:2: x" in command.said


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    """In one sentence, and nothing is served."""
    home = Home(tmp_path / "home")
    with home.start("web", "--listen", "127.0.0.1:18421") as first:
        address_of(first)
        with home.start("web", "--listen", "127.0.0.1:18421") as second:
            assert 1 == second.process.wait(60)

    assert "cannot listen on 127.0.0.1:18421: Address already in use" in second.said


def test_other_machines_are_not_let_in_without_users(tmp_path: Path) -> None:
    """Neither by the setting nor by the option."""
    home = Home(tmp_path / "home")
    with home.start("web", "--listen", "0.0.0.0:18422") as command:
        assert 2 == command.process.wait(60)

    assert "web.users" in command.said


def test_users_are_added_listed_and_removed(tmp_path: Path) -> None:
    """With the password from standard input and the file readable by its owner alone."""
    (tmp_path / "config.yaml").write_text("web: {users: people}")

    assert (
        "ada may now log in, as operator\n"
        == users(tmp_path, "add-user", "ada", "--role", "operator").stdout
    )
    assert "ben may now log in, as reviewer\n" == users(tmp_path, "add-user", "ben").stdout
    assert (
        "ada has a new password, as reader\n"
        == users(tmp_path, "add-user", "ada", "--role", "reader").stdout
    )
    assert "ada\treader\nben\treviewer\n" == users(tmp_path, "list-users").stdout
    assert "ben is removed\n" == users(tmp_path, "remove-user", "ben").stdout
    assert 0o600 == (tmp_path / "people").stat().st_mode & 0o777


def test_what_cannot_be_a_user_is_told(tmp_path: Path) -> None:
    """A short password, an unknown role or user, and no file in the configuration."""
    (tmp_path / "config.yaml").write_text("web: {users: people}")
    wrong = [
        users(tmp_path, "add-user", "ada", password="short"),  # noqa: S106 - refused
        users(tmp_path, "add-user", "ada", "--role", "chief"),
        users(tmp_path, "remove-user", "ada"),
    ]
    (tmp_path / "config.yaml").write_text("")
    wrong.append(users(tmp_path, "add-user", "ada"))

    assert [1, 2, 1, 1] == [one.returncode for one in wrong]
    for one, words in zip(
        wrong,
        ("10 to 1000 characters", "none of reader", "has no user ada", "web.users"),
        strict=True,
    ):
        assert words in one.stderr
        assert "Traceback" not in one.stderr
