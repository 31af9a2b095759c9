"""Shared folders with a daemon of their own, and what became of each scan that was uploaded."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from service.filesystem.availability import MARKER
from service.filesystem.safe_open import digest
from service.storage.moves import REASON_SUFFIX
from service.storage.sidecar import SidecarError, read_sidecar, sidecar_name
from tests.shares.machine import DAEMON, GROUP, SOURCE, Machine
from tests.shares.writers import Upload
from tests.support.waiting import wait_until

CONFIG = """
inbox: {folder}/inbox
outbox: {folder}/outbox
originals: {{folder: {folder}/originals, after: {after}}}
rejected: {folder}/rejected
state: {state}
# The settle times are those of every installation.
watch: {{rescan: 5.0}}
batch: {{longest_wait: 0.1}}
"""
TAKEN = {"photo.delivered", "photo.rejected", "photo.moved"}  # one that is queued may still wait
FOLDERS = ("inbox", "outbox", "originals", "rejected")


@dataclass
class Scene:
    """A shared folder and its daemon.

    Attributes:
        machine: where it is.
        name: its folder below /srv, as the daemon knows it.
        written_to: the inbox as servers know it, where that is another path; below /srv.
        after: what becomes of originals.
    """

    machine: Machine
    name: str
    written_to: str = ""
    after: str = "move"

    @property
    def folder(self) -> str:
        """Its folder."""
        return f"/srv/{self.name}"

    @property
    def inbox(self) -> PurePosixPath:
        """The inbox as the servers know it."""
        return PurePosixPath(self.written_to or f"{self.folder}/inbox")

    def make(self) -> None:
        """Make its folders, where they are on the machine's own disk."""
        self.machine.share(self.folder, *(f"{self.folder}/{name}" for name in FOLDERS))

    def start(self) -> None:
        """Start its daemon, and return when that watches."""
        home = f"/srv/{self.name}.home"
        self.machine.run("install", "-d", "-o", DAEMON, "-g", GROUP, home)
        text = CONFIG.format(folder=self.folder, state=f"{home}/state", after=self.after)
        (self.machine.see(home) / "config.yaml").write_text(text)
        self._log = self.machine.see(home) / "log"
        with self._log.open("wb") as log:
            self._process = self.machine.start(
                *self._command("run"), user=DAEMON, stdout=log, stderr=log
            )
        wait_until(lambda: self._said("daemon.started") or self._ended(), 100.0)
        assert not self._ended(), self._log.read_text()

    def stop(self) -> None:
        """Stop its daemon in order."""
        os.killpg(self._process.pid, signal.SIGTERM)
        wait_until(lambda: self._said("daemon.stopped"), 60.0)

    def status(self) -> dict[str, Any]:
        """Return what `photochrom status --json` says."""
        said = self.machine.run(*self._command("status", "--json"), user=DAEMON)
        return dict(json.loads(said))

    def is_home(self, upload: Upload) -> bool:
        """Tell whether a scan is among the originals, and its result in the outbox."""
        return not self._lost(upload) and not self._wrong(upload)

    def faults(self, uploads: Iterable[Upload]) -> list[str]:
        """Say what is wrong with each upload of this scene; ask when its daemon was stopped."""
        found = []
        for upload in uploads:
            what = [upload.fault and f"the client failed: {upload.fault}"]
            # One that is whole and closed after each page is done each time.
            what += ["" if upload.way == "local.appended" else self.early(upload)]
            what += [self._rejected(upload)]
            what += [self._lost(upload), self._wrong(upload)]
            said = "; ".join(one for one in what if one)
            if said:
                found.append(f"{upload.name} ({upload.way}, {upload.pause:g} s): {said}")
        names = {upload.name for upload in uploads}
        return found + self._too_much(names)

    def early(self, upload: Upload) -> str:
        """Say when a scan was done with before its writer had written all of it, or ""."""
        times = [
            datetime.fromisoformat(line["timestamp"]).timestamp() - upload.last
            for line in self.events
            if line["event"] in TAKEN and line["path"] == upload.name
        ]
        early = [f"{-one:.1f}" for one in times if one < 0]
        return f"taken {', '.join(early)} s before its end" if early else ""

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """The log of the daemon; ask when it was stopped."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def verify(self) -> str:
        """Return what `photochrom verify` says; it fails when it finds something."""
        return self.machine.run(*self._command("verify"), user=DAEMON)

    def _rejected(self, upload: Upload) -> str:
        reasons = [
            line["reason"]
            for line in self.events
            if line["event"] == "photo.rejected" and line["path"] == upload.name
        ]
        return f"rejected: {reasons}" if reasons else ""

    def _lost(self, upload: Upload) -> str:
        original = self._see("inbox" if self.after == "keep" else "originals") / upload.name
        try:
            whole = digest(original) == upload.picture.sha256
        except FileNotFoundError:
            return "no original"
        return "" if whole else f"its original is another file, of {original.stat().st_size} bytes"

    def _wrong(self, upload: Upload) -> str:
        outbox = self._see("outbox")
        try:
            said = read_sidecar(outbox / sidecar_name(PurePosixPath(upload.name)))
        except (FileNotFoundError, SidecarError):
            return "no result"
        result = outbox / upload.name
        if (said.source.sha256, said.output.sha256) != (upload.picture.sha256, digest(result)):
            return "its result was made of another file"
        # Decoders resolve links, and the way to what the machine has leads over one.
        copy = self.machine.copies / f"{said.output.sha256}{result.suffix}"
        if not copy.exists():
            shutil.copyfile(result, copy)
        differs = upload.picture.differs_from(copy)
        return f"its result is wrong: {differs}" if differs else ""

    def _too_much(self, names: set[str]) -> list[str]:
        """Say what lies in the folders and is no upload's."""
        kept = "inbox" if self.after == "keep" else "originals"
        home = {kept: names, "outbox": names}
        found = []
        for folder in FOLDERS:
            lies = {path.name for path in self._see(folder).rglob("*")} - {MARKER}
            lies = {one.removesuffix(".json") for one in lies} if folder == "outbox" else lies
            lies = {one for one in lies if not one.endswith(REASON_SUFFIX)}
            if more := sorted(lies - home.get(folder, set())):
                found.append(f"{folder} has too much: {', '.join(more)}")
        return found

    def _see(self, folder: str) -> Path:
        return self.machine.see(f"{self.folder}/{folder}")

    def _command(self, *arguments: str) -> list[str]:
        settings = {
            "PHOTOCHROM_CONFIG": f"/srv/{self.name}.home/config.yaml",
            "PYTHONPATH": str(SOURCE),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        variables = [f"{name}={value}" for name, value in settings.items()]
        program = [sys.executable, "-m", "tests.support.fake_device_command"]
        return ["env", *variables, *program, *arguments]

    def _said(self, event: str) -> bool:
        return f'"event": "{event}"' in self._log.read_text()

    def _ended(self) -> bool:
        return self._process.poll() is not None
