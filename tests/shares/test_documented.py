"""What docs/shares.md has people write into their files, word for word, with the real servers."""

import ftplib
import io
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pytest

from tests.shares.machine import ANNA, DAEMON, GROUP, PASSWORD, SOURCE, Machine, why_not
from tests.shares.scans import DecodedImage, raw
from tests.shares.scenes import Scene
from tests.shares.servers import Servers
from tests.shares.writers import Upload
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.shares, pytest.mark.slow]

PAGE = (SOURCE / "docs/shares.md").read_text()
CLIENT = "/run/client"  # a folder of somebody who uploads
SSH_CONFIG = """
Host archive
HostName 127.0.0.1
Port {port}
IdentityFile {key}
StrictHostKeyChecking no
UserKnownHostsFile /dev/null
LogLevel ERROR
"""


class Archive(NamedTuple):
    """Shared folders as the page has them, and its daemon."""

    machine: Machine
    servers: Servers
    scene: Scene


def block(heading: str, number: int = 0) -> str:
    """Return one of the blocks below a heading of the page."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return section.split("\n```")[1 + 2 * number].partition("\n")[2]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """Set all up as the page says, with folders as `photochrom install` makes them."""
    if reason := why_not():
        pytest.skip(reason)
    (tmp_path / "servers").mkdir()
    with Machine(tmp_path) as machine:
        scene = Scene(machine, "photos")
        scene.make()
        for folder in ("outbox", "originals", "rejected"):
            machine.run("chmod", "2750", f"{scene.folder}/{folder}")
        machine.run("userdel", ANNA)
        machine.run("sh", "-exc", block("The folders"))
        machine.run("sh", "-ec", f"echo '{ANNA}:{PASSWORD}' | chpasswd --crypt-method SHA512")
        machine.run("chown", "root:root", scene.folder)
        machine.run("chmod", "755", scene.folder)
        machine.run("sh", "-exc", block("Samba", 1))
        servers = Servers(
            machine,
            tmp_path / "servers",
            smb=block("Samba"),
            ftp=block("FTP, and network scanners"),
            ssh=block("SFTP, scp and rsync"),
        )
        values = {"port": servers.ssh, "key": servers.key}
        (machine.see("/etc/ssh") / "ssh_config").write_text(SSH_CONFIG.format(**values))
        yield Archive(machine, servers, scene)


def smb(archive: Archive, command: str) -> str:
    """Return what smbclient says to a command in the share."""
    options = ["-p", str(archive.servers.smb), "-U", f"{ANNA}%{PASSWORD}", "-c", command]
    done = subprocess.run(
        ["smbclient", "//127.0.0.1/photos", *options], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def modes(archive: Archive) -> set[str]:
    """Return mode and group of what lies in the inbox, folders with a slash behind."""
    listed = archive.machine.run(
        *("find", f"{archive.scene.folder}/inbox", "-mindepth", "1"),
        *("-not", "-name", ".photochrom", "-printf", "%m %g %y\\n"),
    )
    return set(listed.splitlines())


def all_are_taken(archive: Archive, pictures: dict[str, DecodedImage]) -> None:
    """Start the daemon, and return when all are colored and their originals are away."""
    archive.scene.start()
    uploads = [
        Upload(PurePosixPath("/srv/photos/inbox"), name, "", 0.0, picture)
        for name, picture in pictures.items()
    ]
    wait_until(lambda: all(map(archive.scene.is_home, uploads)), 60.0)
    assert 0 == archive.scene.status()["unmoved_originals"]
    archive.scene.stop()


def put(archive: Archive, name: str, picture: DecodedImage) -> str:
    """Put a scan where the client works; return its path there."""
    path = archive.machine.see(CLIENT) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture.data)
    return f"{CLIENT}/{name}"


def test_samba(archive: Archive) -> None:
    """Scans and folders are open to the group; what is deleted is in the bin; results are safe."""
    picture = raw(1)
    archive.machine.run("mkdir", CLIENT)
    source = archive.machine.see(put(archive, "scan.tif", picture))
    smb(archive, f"mkdir inbox/album; put {source} inbox/album/a.tif; put {source} inbox/b.tif")
    smb(archive, "del inbox/b.tif")

    assert {f"660 {GROUP} f", f"2770 {GROUP} d"} == modes(archive)
    assert (archive.machine.see("/srv/photos") / ".recycle/inbox/b.tif").exists()
    all_are_taken(archive, {"album/a.tif": picture})
    got = archive.machine.see(CLIENT) / "got.tif"
    smb(archive, f"get outbox/album/a.tif {got}")
    assert "" == picture.differs_from(_outside(archive, got))
    for command in ("del outbox/album/a.tif", "rename originals/album/a.tif inbox/c.tif"):
        assert "ACCESS_DENIED" in smb(archive, command)


def test_ftp(archive: Archive) -> None:
    """A scanner sees the inbox only, and what it makes there is open to the group."""
    picture = raw(2)
    ftp = ftplib.FTP(timeout=60.0)  # noqa: S321 - on the loopback; it is what is tested
    ftp.connect("127.0.0.1", archive.servers.ftp)
    ftp.login(ANNA, PASSWORD)
    ftp.mkd("/day")
    ftp.storbinary("STOR /day/a.tif", io.BytesIO(picture.data))
    assert ["/day"] == ftp.nlst("/")
    ftp.quit()

    assert {f"660 {GROUP} f", f"2770 {GROUP} d"} == modes(archive)
    all_are_taken(archive, {"day/a.tif": picture})


def test_ssh(archive: Archive) -> None:
    """The commands of the page make what the group may move."""
    picture, other = raw(3), raw(4)
    put(archive, "album/a.tif", picture)
    put(archive, "scan.tif", other)
    archive.machine.run("chmod", "-R", "go-w", CLIENT)
    commands = block("SFTP, scp and rsync", 1)
    archive.machine.run("bash", "-exc", f"cd {CLIENT}; {commands}")

    assert {f"2770 {GROUP} d", f"660 {GROUP} f", f"640 {GROUP} f"} == modes(archive)
    all_are_taken(archive, {"album/a.tif": picture, "scan.tif": other})


def test_a_folder_that_scp_closed_is_named(archive: Archive) -> None:
    """Its scan is colored, its original stays, and `status` says which folder it is."""
    put(archive, "album/a.tif", raw(5))
    archive.machine.run("chmod", "-R", "go-w", CLIENT)
    archive.machine.run("scp", "-r", f"{CLIENT}/album", f"{ANNA}@archive:/srv/photos/inbox/")
    archive.scene.start()
    wait_until(lambda: archive.scene.status()["unmoved_originals"] == 1, 60.0)

    said = archive.scene.status()["unmoved"]
    assert ["/srv/photos/inbox/album"] == [one["folder"] for one in said]
    assert 1 == archive.scene.status()["jobs"]["finished"]
    archive.machine.run("chmod", "g+w", "/srv/photos/inbox/album")
    wait_until(lambda: archive.scene.status()["unmoved_originals"] == 0, 60.0)
    archive.scene.stop()


def test_acls(archive: Archive) -> None:
    """Readers beside the group read what photochrom makes; and folders made by others are open."""
    picture = raw(6)
    machine = archive.machine
    machine.run("groupadd", "readers")
    machine.run("useradd", "--gid", "readers", "--no-create-home", "rita")
    machine.run("sh", "-exc", block("ACLs"))
    own = "/srv/photos/inbox/own"
    machine.run("sh", "-ec", f"umask 022; mkdir {own}; chgrp root {own}")
    put(archive, "a.tif", picture)
    machine.run("cp", f"{CLIENT}/a.tif", f"{own}/.a")
    machine.run("mv", f"{own}/.a", f"{own}/a.tif")
    all_are_taken(archive, {"own/a.tif": picture})

    as_rita = ["setpriv", "--reuid=rita", "--regid=readers", "--clear-groups", "cat"]
    machine.run(*as_rita, "/srv/photos/outbox/own/a.tif.json")
    assert DAEMON == machine.run("stat", "-c", "%U", "/srv/photos/outbox/own/a.tif").strip()


def _outside(archive: Archive, path: Path) -> Path:
    """Copy a file to where decoders find it."""
    copy = archive.machine.copies / path.name
    copy.write_bytes(path.read_bytes())
    return copy
