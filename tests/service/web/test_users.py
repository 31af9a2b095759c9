"""The file of users."""

from pathlib import Path

import pytest

from service.web.users import Role, UsersFile, UsersFileError
from tests.support.web_client import PASSWORD


def test_users_are_added_changed_and_removed(tmp_path: Path) -> None:
    """In a file that only its owner reads and that has no password in it."""
    users = UsersFile(tmp_path / "users")

    assert users.add("ada", Role.READER, PASSWORD)
    assert users.add("Jörg van Dyck", Role.OPERATOR, PASSWORD)
    assert not users.add("ada", Role.REVIEWER, "another password")
    assert 0o600 == users.path.stat().st_mode & 0o777
    assert PASSWORD not in users.path.read_text()
    assert [("ada", Role.REVIEWER), ("Jörg van Dyck", Role.OPERATOR)] == [
        (one.name, one.role) for one in users.users().values()
    ]
    users.remove("Jörg van Dyck")
    assert ["ada"] == list(users.users())


def test_only_the_password_opens(tmp_path: Path) -> None:
    """The right one of a known name, after a change only the new one."""
    users, reader = UsersFile(tmp_path / "users"), UsersFile(tmp_path / "users")
    users.add("ada", Role.READER, PASSWORD)
    assert reader.verified("ada", PASSWORD)
    users.add("ada", Role.READER, "another password")

    assert [None, None, None] == [
        reader.verified("ada", PASSWORD),
        reader.verified("ada", ""),
        reader.verified("Ada", "another password"),
    ]
    assert reader.verified("ada", "another password")


@pytest.mark.parametrize("name", ["", "a:b", "a\nb", " a", "x" * 65, "../a", "<b>"])
def test_names_that_cannot_be_used_are_refused(tmp_path: Path, name: str) -> None:
    """Nothing that would break a line of the file, or fool a reader."""
    with pytest.raises(UsersFileError):
        UsersFile(tmp_path / "users").add(name, Role.READER, PASSWORD)

    assert not (tmp_path / "users").exists()


def test_short_passwords_are_refused(tmp_path: Path) -> None:
    """Ten characters are the least."""
    with pytest.raises(UsersFileError, match="10 to 1000 characters"):
        UsersFile(tmp_path / "users").add("ada", Role.READER, "x" * 9)


@pytest.mark.parametrize("line", ["ada", "ada:chief:$argon2id$x", "ada:reader:plain", ":::"])
def test_a_wrong_line_lets_nobody_in(tmp_path: Path, line: str) -> None:
    """A damaged file is told with its line, not read in part."""
    users = UsersFile(tmp_path / "users")
    users.add("ben", Role.READER, PASSWORD)
    with users.path.open("a") as file:
        file.write(line + "\n")

    with pytest.raises(UsersFileError, match="users:2: not a line"):
        UsersFile(users.path).users()
