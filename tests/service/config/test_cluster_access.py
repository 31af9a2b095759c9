"""Promises of service.config.cluster_access: no cluster on other machines without its token."""

from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from service.config import cluster_access
from service.config.cluster_access import check_cluster, open_cluster
from service.config.engine_section import Engine
from service.config.loader import ConfigError, load_config


@pytest.mark.parametrize("address", ["127.0.0.1:6379", "localhost:6379", "[::1]:6379"])
def test_a_cluster_on_this_machine_needs_no_token(address: str) -> None:
    """Whoever is on it is no stranger."""
    assert [] == open_cluster(Engine(kind="ray", address=address))


@pytest.mark.parametrize("address", ["10.0.0.1:6379", "head.example.org:6379", "[fe80::1]:6379"])
def test_a_cluster_elsewhere_needs_a_token(address: str) -> None:
    """Whoever commands it runs any program on all of its machines."""
    ((key, text),) = open_cluster(Engine(kind="ray", address=address))

    assert "engine.address" == key
    assert "needs engine.token as well" in text
    assert [] == open_cluster(Engine(kind="ray", address=address, token=Path("/etc/token")))
    assert [] == open_cluster(Engine(kind="local", address=address))


def test_a_token_must_be_there_and_private(tmp_path: Path) -> None:
    """As a key must."""
    token = tmp_path / "token"
    engine = Engine(kind="ray", token=token)

    assert "cannot be read" in dict(check_cluster(engine))["engine.token"]

    token.write_text("secret")
    token.chmod(0o644)

    assert f"run: chmod o= {token}" in dict(check_cluster(engine))["engine.token"]

    token.chmod(0o600)

    assert "engine.token" not in dict(check_cluster(engine))


def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    found: dict[str, ModuleSpec | None] = {"ray": None}
    monkeypatch.setattr(cluster_access, "find_spec", found.get)

    assert [("engine.kind", "needs the extra ray: pip install 'photochrom[ray]'")] == (
        check_cluster(Engine(kind="ray"))
    )
    assert [] == check_cluster(Engine())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("engine: {kind: ray, address: 10.0.0.1}", "a host with a port"),
        ("engine: {kind: ray, address: 'ray://head:10001'}", "a host with a port"),
        ("engine: {kind: ray, address: '10.0.0.1:6379'}", "needs engine.token as well"),
        ("engine: {kind: dask}", "local or ray"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, text: str, said: str) -> None:
    """As all others."""
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml:1: engine") as caught:
        load_config(file)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("engine: ray", ("ray", None)), ("engine: {kind: ray, token: t}", ("ray", "t"))],
)
def test_the_kind_alone_is_enough(tmp_path: Path, text: str, expected: tuple[Any, ...]) -> None:
    """The token's file lies beside the configuration."""
    file = tmp_path / "config.yaml"
    file.write_text(text)
    (tmp_path / "t").touch(0o600)
    engine = load_config(file).engine

    assert expected == (engine.kind, engine.token and engine.token.name)
    assert engine.token in {None, tmp_path / "t"}
