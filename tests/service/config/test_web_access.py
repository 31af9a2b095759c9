"""The settings of the review page: nobody gets in without a name by mistake."""

from pathlib import Path

import pytest

from service.config.loader import ConfigError, check_config, load_config


def problems(tmp_path: Path, text: str) -> list[str]:
    """Return what is wrong with a section `web`, without the file's name."""
    path = tmp_path / "config.yaml"
    path.write_text(text)
    try:
        check_config(path)
    except ConfigError as error:
        return [problem.removeprefix(f"{path}:") for problem in error.problems]
    return []


@pytest.mark.parametrize("listen", ["127.0.0.1:8420", '"[::1]:8420"'])
def test_the_loopback_needs_no_users(tmp_path: Path, listen: str) -> None:
    """Whoever is on this machine may use the page."""
    assert [] == problems(tmp_path, f"web: {{listen: {listen}}}")


@pytest.mark.parametrize("listen", ["0.0.0.0:8420", "192.168.1.5:80", '"[::]:8420"'])
def test_other_addresses_need_users(tmp_path: Path, listen: str) -> None:
    """Else any stranger on the network would be the operator."""
    words = "is open to other machines, so it needs web.users or web.trusted_header as well"

    assert [f"1: web.listen: {words}"] == problems(tmp_path, f"web: {{listen: {listen}}}")


@pytest.mark.parametrize("listen", ["8420", "archive.example.org:80", "127.0.0.1:0", "[::1]"])
def test_an_address_has_a_port(tmp_path: Path, listen: str) -> None:
    """A name could lead anywhere, and a port of 0 would be found by nobody."""
    [problem] = problems(tmp_path, f'web: {{listen: "{listen}"}}')

    assert "an IP address with a port, such as 127.0.0.1:8420" in problem


def test_a_header_is_believed_from_proxies_only(tmp_path: Path) -> None:
    """Else anybody could say who they are."""
    [problem] = problems(tmp_path, "web: {listen: 0.0.0.0:80, trusted_header: X-Remote-User}")

    assert problem.startswith("1: web.trusted_header: needs web.trusted_proxies as well")
    assert [] == problems(
        tmp_path,
        "web: {listen: 0.0.0.0:80, trusted_header: X-Remote-User, trusted_proxies: [10.0.0.0/8]}",
    )


def test_names_for_others_need_users(tmp_path: Path) -> None:
    """A proxy on this machine would let strangers in as the operator."""
    [problem] = problems(tmp_path, "web: {listen: 127.0.0.1:8420, hosts: [archive.example.org]}")

    assert problem.startswith("1: web.hosts: lets other machines in by these names")


def test_the_file_of_users_must_be_there_and_private(tmp_path: Path) -> None:
    """`check-config` says what to do; the daemon, which does not need it, starts without."""
    text = "web: {listen: 0.0.0.0:8420, users: users}"
    [missing] = problems(tmp_path, text)
    (tmp_path / "users").touch(mode=0o644)
    [public] = problems(tmp_path, text)
    (tmp_path / "users").chmod(0o600)

    assert "run: photochrom web add-user" in missing
    assert f"run: chmod o= {tmp_path / 'users'}" in public
    assert [] == problems(tmp_path, text)
    (tmp_path / "users").unlink()
    assert check_config(tmp_path / "config.yaml", for_run=True).web.users == tmp_path / "users"
    assert load_config(tmp_path / "config.yaml").web.listen == "0.0.0.0:8420"
