"""The process between the daemon and Ray: lines of messages in, lines of messages out.

A process that uses Ray is ended by it once the head has been lost for a minute, without an
exception. So this one may end at any time, and holds nothing that the daemon has not.
"""

import hashlib
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import ray

from worker.cluster.crew import Crew, LoadedModel
from worker.cluster.messages import (
    ClusterSettings,
    End,
    Message,
    Model,
    Order,
    line_of,
    message_of,
)
from worker.cluster.node_worker import Parts
from worker.cluster.roster import Node
from worker.models.version import CARD_FILE, GENERATOR_FILE

LOOK_EVERY = 2.0  # seconds between two looks at the nodes
ANSWER_WITHIN = 5.0  # seconds, for a head to accept a connection
CONNECT_WITHIN = 60.0  # seconds
# What a process without a token asks; it exits with 0 if it was answered.
ASK = """
import sys
from ray._raylet import GcsClient
GcsClient(address=sys.argv[1]).get_all_node_info(timeout=10)
"""


class Channel:
    """Takes messages for the daemon, from any thread."""

    def __init__(self, file: BinaryIO) -> None:
        """Write to a file that nothing else writes to."""
        self._file = file
        self._lock = threading.Lock()

    def say(self, message: Message) -> None:
        """Send a message; without a daemon this process ends."""
        try:
            with self._lock:
                self._file.write(line_of(message))
                self._file.flush()
        except OSError:
            os._exit(0)

    def give_up(self, reason: str) -> NoReturn:
        """Say why this process ends, and end it at once, whatever Ray's threads do."""
        self.say(End(reason))
        os._exit(1)


def main(parts: Parts) -> None:
    """Connect to the cluster that the first line names, and work until the input ends."""
    # What Ray and its libraries print must not get between the messages.
    channel = Channel(os.fdopen(os.dup(sys.stdout.fileno()), "wb"))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    lines = sys.stdin.buffer
    settings = message_of(lines.readline())
    if not isinstance(settings, ClusterSettings):
        channel.give_up(f"the first message must be settings, not {settings}")
    connect(settings, channel)
    crew = Crew(settings, parts, channel.say)
    for work in (read, watch_nodes):
        threading.Thread(target=work, args=(crew, channel, lines), daemon=True).start()
    while True:
        crew.step()


def connect(settings: ClusterSettings, channel: Channel) -> None:
    """Connect this process to the cluster, or end it with the reason."""
    address = settings.address
    timer = threading.Timer(
        CONNECT_WITHIN,
        channel.give_up,
        [f"the Ray cluster at {address} did not let this machine in for {CONNECT_WITHIN:.0f} s"],
    )
    timer.daemon = True
    timer.start()
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_WITHIN).close()
    except OSError as error:
        channel.give_up(f"no head of a Ray cluster answers at {address}: {error.strerror or error}")
    if settings.token and answers_strangers(address):
        channel.give_up(
            f"the Ray cluster at {address} takes commands from anyone: start its head and nodes"
            " with RAY_AUTH_MODE=token"
        )
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # noqa: BLE001 - Ray raises many; each is told
        channel.give_up(refusal(error, address))
    timer.cancel()


def answers_strangers(address: str) -> bool:
    """Tell whether a cluster answers a process that has no token."""
    without = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    done = subprocess.run(  # noqa: S603 - this Python, with the address from the settings
        [sys.executable, "-c", ASK, address],
        env={**without, "RAY_AUTH_MODE": "disabled"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=CONNECT_WITHIN,
        check=False,
    )
    return done.returncode == 0


def refusal(error: Exception, address: str) -> str:
    """Say in words why this machine cannot use the cluster."""
    causes: list[BaseException] = [error]  # the last says most
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    text = " ".join(str(causes[-1]).split())
    lower = text.lower()
    if "version mismatch" in lower:
        return (
            f"the Ray cluster at {address} has other versions of Ray or Python than photochrom; all"
            f" machines must have the same: {text}"
        )
    if "auth" in lower and "token" in lower:
        return (
            f"the Ray cluster at {address} wants another token than photochrom has (engine.token):"
            f" {text[:300]}"
        )
    if "node" in lower and ("no " in lower or "not " in lower):
        return (
            f"this machine is no node of the Ray cluster at {address}; on it, run:"
            f" ray start --address={address} --num-cpus=0 ({text[:200]})"
        )
    return f"cannot use the Ray cluster at {address}: {text[:300] or repr(error)}"


def read(crew: Crew, channel: Channel, lines: BinaryIO) -> None:
    """Do what the daemon says; when its input ends, so does this process, and its workers."""
    for line in lines:
        message = message_of(line)
        if isinstance(message, Order):
            crew.order(message)
        elif isinstance(message, Model):
            crew.take_up(loaded(message, channel))
        else:
            break
    ray.shutdown()
    os._exit(0)


def loaded(model: Model, channel: Channel) -> LoadedModel:
    """Put a generator's file where all nodes find it."""
    try:
        content = (Path(model.folder) / GENERATOR_FILE).read_bytes()
        card = (Path(model.folder) / CARD_FILE).read_text(encoding="utf-8")
    except OSError as error:
        channel.give_up(f"model version {model.name} cannot be read: {error}")
    return LoadedModel(model.name, card, hashlib.sha256(content).hexdigest(), ray.put(content))


def watch_nodes(crew: Crew, channel: Channel, _lines: BinaryIO) -> None:
    """Tell the crew which nodes are alive; silence tells it that the head is not."""
    here = ray.get_runtime_context().get_node_id()
    while True:
        try:
            nodes = ray.nodes()  # type: ignore[no-untyped-call] # Ray has no types for it
        except Exception as error:  # noqa: BLE001 - Ray raises many; the next bridge connects anew
            channel.give_up(f"the connection to the Ray cluster was lost: {error!r:.300}")
        crew.see([node_of(one, here) for one in nodes if one["Alive"]])
        time.sleep(LOOK_EVERY)


def node_of(said: dict[str, Any], here: str) -> Node:
    """Read what Ray says of a node; `here` is the id of this machine's."""
    has = said["Resources"]
    cpus, gpus = int(has.get("CPU", 0)), int(has.get("GPU", 0))
    node, store = said["NodeID"], int(has.get("object_store_memory", 0))
    return Node(node, said["NodeManagerHostname"], cpus, gpus, store, is_here=node == here)
