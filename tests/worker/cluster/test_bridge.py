"""Promises of worker.cluster.bridge: an open cluster is not used, and faults are told in words."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.obedient_workers import fake_of, files_of, save_model
from tests.support.ray_cluster import STORE, RayCluster, free_port
from tests.support.waiting import wait_until
from worker.cluster.cluster_engine import ClusterEngine
from worker.cluster.messages import ClusterSettings, End, message_of

pytest.importorskip("ray", reason="needs the extra ray")
from worker.cluster.bridge import node_of, refusal
from worker.cluster.roster import Node

WITHIN = 120.0  # seconds, on a machine that does much else
PROGRAM = (sys.executable, "-m", "tests.support.obedient_bridge")
TOKEN, OTHER = "a" * 64, "b" * 64

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a token."""
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(TOKEN)
    return file


@pytest.fixture(scope="module")
def guarded(token: Path) -> Iterator[RayCluster]:
    """Start a cluster that asks for the token."""
    asks = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    with RayCluster(cpus=1, env=asks) as cluster:
        yield cluster


def said_by(folder: Path, address: str, token: Path | None, wanted: str) -> str:
    """Start an engine; return why it colors nothing, once that is as wanted; "": it colors."""
    (folder / "control").mkdir()
    parts = json.dumps({"control": str(folder / "control")})
    settings = ClusterSettings(address, str(token or ""), cpus=1, first_wait=0.2, parts=parts)
    predictor = fake_of(save_model("old", folder / "old"))
    engine = ClusterEngine(predictor, files_of(folder / "control"), settings, PROGRAM)
    said: list[str] = []

    def heard() -> bool:
        said.append(engine.blocked_by)
        return wanted in said[-1] if wanted else not said[-1]

    try:
        wait_until(heard, WITHIN)
    except AssertionError as error:
        raise AssertionError(f"instead of {wanted!r}: {set(said)}") from error
    finally:
        engine.close(wait=False)
        engine.close()
    return said[-1]


def test_a_cluster_with_a_token_is_used(guarded: RayCluster, token: Path, tmp_path: Path) -> None:
    """By who has it."""
    assert "" == said_by(tmp_path, guarded.address, token, "")


def test_another_token_is_refused_in_words(guarded: RayCluster, tmp_path: Path) -> None:
    """The daemon goes on waiting, and says what to look at."""
    other = tmp_path / "other"
    other.write_text(OTHER)

    assert "engine.token" in said_by(tmp_path, guarded.address, other, "wants another token")


def test_a_cluster_that_takes_commands_from_anyone_is_not_used(token: Path, tmp_path: Path) -> None:
    """Where a token is set, the cluster must ask for it; says how."""
    with RayCluster(cpus=1) as cluster:
        said = said_by(tmp_path, cluster.address, token, "takes commands from anyone")

    assert "RAY_AUTH_MODE=token" in said


def test_a_node_is_what_ray_says_of_it(guarded: RayCluster, token: Path) -> None:
    """Cores, its object store in bytes, and whether it is this machine's."""
    code = "import json, ray; ray.init(address={!r}); print(json.dumps(ray.nodes()))"
    done = subprocess.run(
        [sys.executable, "-c", code.format(guarded.address)],
        env={**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)},
        capture_output=True,
        check=True,
    )
    (said,) = json.loads(done.stdout.splitlines()[-1])
    node = node_of(said, said["NodeID"])

    assert Node(said["NodeID"], node.host, 1, 0, STORE, is_here=True) == node
    assert not node_of(said, "another").is_here


def test_a_head_that_is_not_there_is_told(tmp_path: Path) -> None:
    """At once, and not after Ray's minutes."""
    address = f"127.0.0.1:{free_port()}"
    said = said_by(tmp_path, address, None, "no head")

    assert f"no head of a Ray cluster answers at {address}: Connection refused" == said


def test_a_look_at_the_nodes_that_fails_ends_the_bridge() -> None:
    """So that the daemon starts another: one that sees no nodes any more would say so for ever."""
    program = """if True:
        import sys
        from unittest.mock import Mock
        import ray
        from worker.cluster import bridge
        ray.get_runtime_context = Mock()
        ray.nodes = Mock(side_effect=RuntimeError("another cluster answers"))
        bridge.watch_nodes(Mock(), bridge.Channel(sys.stdout.buffer), sys.stdin.buffer)
    """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, timeout=WITHIN
    )

    assert 1 == done.returncode, done.stderr
    said = message_of(done.stdout)
    assert isinstance(said, End)
    assert "connection to the Ray cluster was lost" in said.reason
    assert "another cluster answers" in said.reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Version mismatch: The cluster was started with: Ray: 2.52.0", "other versions of Ray"),
        ("This node has an IP address of 10.0.0.9, and Ray found no node", "is no node of"),
        ("nobody knows", "cannot use the Ray cluster at h:1: nobody knows"),
    ],
)
def test_what_ray_raises_is_told_in_words(text: str, words: str) -> None:
    """By the cause at the bottom of it."""
    error = ConnectionError("Failed to connect to Ray cluster")
    error.__cause__ = RuntimeError(text)

    assert words in refusal(error, "h:1")
