"""The files that sign are looked at before the first photo comes."""

from pathlib import Path

import pytest

from service.config.credential_files import check_credentials
from service.config.loader import ConfigError, check_config
from service.config.sections import Credentials


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    """Name two files that are as they should be."""
    for name in ("c.pem", "c.key"):
        (tmp_path / name).write_text("PEM")
        (tmp_path / name).chmod(0o640)
    return Credentials(certificate=tmp_path / "c.pem", key=tmp_path / "c.key")


def test_files_that_can_be_used_pass(credentials: Credentials) -> None:
    """A key that a group may read does too: the service's group often must."""
    assert [] == check_credentials(credentials)
    assert [] == check_credentials(Credentials())


def test_missing_files_are_told(credentials: Credentials, tmp_path: Path) -> None:
    """Each, with its key in the configuration."""
    for name in ("c.pem", "c.key"):
        (tmp_path / name).unlink()

    assert [
        ("credentials.certificate", f"{tmp_path}/c.pem cannot be read: No such file or directory"),
        ("credentials.key", f"{tmp_path}/c.key cannot be read: No such file or directory"),
    ] == check_credentials(credentials)


@pytest.mark.parametrize("mode", [0o644, 0o602, 0o777])
def test_a_key_that_everybody_may_use_is_refused(
    mode: int, credentials: Credentials, tmp_path: Path
) -> None:
    """Whoever has it signs in the archive's name; a certificate is for all to read."""
    for name in ("c.pem", "c.key"):
        (tmp_path / name).chmod(mode)
    path = tmp_path / "c.key"

    assert [
        ("credentials.key", f"{path} is accessible to all users; run: chmod o= {path}")
    ] == check_credentials(credentials)


def test_a_missing_library_is_told(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to install, and only where photos are to be signed."""
    monkeypatch.setattr("service.config.credential_files.find_spec", {"c2pa": None}.get)

    assert [
        ("credentials", "needs the extra c2pa: pip install 'photochrom[c2pa]'")
    ] == check_credentials(credentials)
    assert [] == check_credentials(Credentials())


def test_check_config_tells_it_with_the_line(tmp_path: Path) -> None:
    """Beside whatever else is wrong."""
    file = tmp_path / "config.yaml"
    file.write_text("inbox: a\noutbox: a\ncredentials:\n  certificate: x.pem\n  key: x.key\n")
    with pytest.raises(ConfigError) as caught:
        check_config(file)
    gone = "cannot be read: No such file or directory"

    assert [
        f"{file}:2: outbox: is the same folder as inbox ({tmp_path}/a)",
        f"{file}:4: credentials.certificate: {tmp_path}/x.pem {gone}",
        f"{file}:5: credentials.key: {tmp_path}/x.key {gone}",
    ] == caught.value.problems
