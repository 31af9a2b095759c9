"""A running daemon, seen from outside: `photochrom status`, the heartbeat and a scrape."""

import json
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.monitoring.heartbeat import HEARTBEAT_FILE
from tests.support.command import HASTY, PHOTOCHROM, Command, Home
from tests.support.mount_namespaces import WITH_FAKE, Namespace, can_mount
from tests.support.waiting import wait_until


@pytest.fixture
def port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def home(tmp_path: Path, port: int) -> Home:
    """Make a folder whose daemon tells Prometheus both ways."""
    metrics = f"metrics: {{listen: '127.0.0.1:{port}', textfile: photochrom.prom}}\n"
    return Home(tmp_path / "home", HASTY + metrics)


@pytest.fixture
def daemon(home: Home) -> Iterator[Command]:
    """Run it, with a fake device."""
    with home.start("run", program=WITH_FAKE) as command:
        command.wait_for("daemon.started")
        wait_until((home.folder / "state" / HEARTBEAT_FILE).exists)
        yield command


def status(home: Home) -> dict[str, Any]:
    """Ask the real command."""
    command = [PHOTOCHROM, "status", "--json"]
    done = subprocess.run(
        command, cwd=home.folder, capture_output=True, text=True, check=True, timeout=60
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def numbers(text: str) -> dict[str, float]:
    """Read metrics; of those with labels, the last."""
    families = text_string_to_metric_families(text)
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_status_beside_a_daemon_tells_how_it_does(home: Home, daemon: Command) -> None:
    """Which is well; and what it did."""
    home.drop("a.png")
    daemon.wait_for("photo.moved")
    told = status(home)

    assert ("well", []) == (told["health"]["level"], told["health"]["reasons"])
    assert "fake" == told["model"]["serving"]
    assert 1 == told["jobs"]["finished"]
    assert 1 <= told["finished_today"] <= told["finished_last_24h"]
    assert 0 < told["rate_per_hour"]
    assert {"inbox", "outbox", "originals.folder", "rejected", "state"} == set(told["free"])


def test_a_scrape_and_the_file_tell_the_same_daemon(home: Home, daemon: Command, port: int) -> None:
    """Parsed as Prometheus does."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        scraped = numbers(answer.read().decode())
    written = numbers((home.folder / "photochrom.prom").read_text())

    assert written.keys() == scraped.keys()
    assert (
        written["photochrom_process_start_time_seconds"]
        == (scraped["photochrom_process_start_time_seconds"])
    )
    assert daemon.process.poll() is None


def test_a_daemon_that_stands_still_gives_no_sign_of_life(home: Home, daemon: Command) -> None:
    """Its lock is held, its heartbeat grows old, and a scrape tells when it was."""
    os.kill(daemon.process.pid, signal.SIGSTOP)
    path = home.folder / "state" / HEARTBEAT_FILE
    beat = json.loads(path.read_text())
    path.write_text(json.dumps(beat | {"time": beat["time"] - 300}))
    told = status(home)
    os.kill(daemon.process.pid, signal.SIGCONT)

    assert ("silent", ["no heartbeat for 5 minutes"]) == (
        told["health"]["level"],
        told["health"]["reasons"],
    )


def test_a_changed_config_that_is_refused_is_told(home: Home, daemon: Command) -> None:
    """By status and to Prometheus, as long as the file has its mistakes."""
    config = home.folder / "config.yaml"
    config.write_text(config.read_text() + "outbox: inbox/colored\n")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("config.refused")
    wait_until(lambda: bool(status(home)["health"]["refused_config"]), 30)
    told = status(home)["health"]

    mistake = f"{config}:7: outbox: is inside the inbox ({home.inbox / 'colored'})"
    assert ("well", mistake) == (told["level"], told["refused_config"])
    assert [f"the changed config.yaml was refused: {mistake}"] == told["reasons"]
    assert 1 == numbers((home.folder / "photochrom.prom").read_text())["photochrom_config_refused"]


def test_a_port_that_is_in_use_keeps_nobody_from_work(home: Home, port: int) -> None:
    """It is said in the log and in the status, and a photograph is colored all the same."""
    with socket.create_server(("127.0.0.1", port)), home.start("run", program=WITH_FAKE) as daemon:
        home.drop("a.png")
        daemon.wait_for("photo.delivered")
        wait_until(lambda: status(home)["health"]["level"] != "starting")
        told = status(home)

    words = f"cannot serve metrics on 127.0.0.1:{port}: Address already in use"
    assert ("well", [words]) == (told["health"]["level"], told["health"]["reasons"])
    assert [words] == [entry["reason"] for entry in daemon.events("metrics.silent")]
    assert (home.outbox / "a.png").exists()


@pytest.mark.skipif(not can_mount(), reason="no namespaces may be made here")
@pytest.mark.parametrize("runs", [True, False])
def test_a_state_folder_that_is_read_only_tells_all_the_same(home: Home, *, runs: bool) -> None:
    """Beside a daemon and without one, as to a user who may not write there."""
    state = home.folder / "state"
    with home.start("run", program=WITH_FAKE) as daemon, Namespace() as reader:
        home.drop("a.png")
        daemon.wait_for("photo.moved")
        if not runs:
            daemon.process.terminate()
            daemon.process.wait()
        reader.bind(state, state)
        reader.run("mount", "-o", "remount,ro,bind", state)
        with home.start("status", "--json", prefix=reader.prefix) as command:
            assert 0 == command.process.wait(60), command.said
            told = json.loads(command.printed)

    assert runs == (told["running"] is not None)
    assert (None, 1) == (told["ledger_fault"], told["jobs"]["finished"])


def test_without_a_daemon_status_says_that_it_is_not_running(home: Home) -> None:
    """Also after one that was killed."""
    with home.start("run", program=WITH_FAKE) as daemon:
        daemon.wait_for("daemon.started")
    told = status(home)

    assert None is told["running"]
    assert "not running" == told["health"]["level"]
