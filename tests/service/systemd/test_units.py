"""What the service may do, as systemd's own tools judge it."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from service.config.engine_section import Engine
from service.config.loader import Config
from service.config.sections import (
    Credentials,
    Metrics,
    Originals,
    Permissions,
    Review,
    Stop,
    Training,
    Web,
)
from service.filesystem.ownership import MARKER
from service.systemd import units
from service.systemd.units import (
    CLUSTER,
    FOLDERS,
    GPU,
    TIMER,
    TRAIN,
    TRAIN_GPU,
    UNIT,
    USERS,
    WEB,
    Program,
    notes,
    quoted,
    render,
    writable_paths,
)
from worker.errors import DeviceError

TEMPLATES = Path(units.__file__).parent
PROGRAM = Program(
    Path("/opt/photochrom/bin/photochrom"),
    (Path("/opt/photochrom"), Path("/usr")),
    Path("/etc/photochrom/config.yaml"),
)


def configured(base: str = "/srv/photos", **sections: Any) -> Config:
    """Give a configuration whose folders lie side by side."""
    sections.setdefault("web", Web(listen="127.0.0.1:8420"))
    return Config(**sections).beside(Path(base))


def settings(text: str) -> dict[str, list[str]]:
    """Read a unit: its values, by key."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def unit(config: Config, program: Program = PROGRAM, name: Path = UNIT) -> dict[str, list[str]]:
    """Give the values of a rendered unit."""
    return settings(render(config, program, gpu=False)[name])


def installed(root: Path, config: Config, program: Program = PROGRAM, *, gpu: bool = False) -> Path:
    """Write the files below a root; return it."""
    for name, text in render(config, program, gpu=gpu).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def ask(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one of systemd's tools, or skip where it is missing."""
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"{command[0]} is not installed (package systemd)")
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=60
    )


class TestPaths:
    """What can be written, and what cannot."""

    def test_only_the_folders_can_be_written(self) -> None:
        """And these by what holds them, so that originals are renamed and not copied."""
        config = configured(outbox=Path("/data/results"), state=Path("/var/lib/photochrom/state"))
        values = unit(config)

        assert ["strict"] == values["ProtectSystem"]
        assert ['"/data/results" "/srv/photos" "/var/lib/photochrom/state"'] == (
            values["ReadWritePaths"]
        )

    @pytest.mark.parametrize("base", ["/", "/srv", "/home/anna", "/mnt"])
    def test_what_holds_much_else_is_not_opened(self, base: str) -> None:
        """Then each folder is, alone, and a note says that originals are copied."""
        config = configured(base)
        names = ("inbox", "originals", "outbox", "rejected", "state")

        assert [Path(base, name) for name in names] == writable_paths(config)
        assert ["originals will be copied instead of renamed"] == [
            note.split(":")[0] for note in notes(config, PROGRAM)
        ]

    def test_the_folder_of_the_metrics_can_be_written(self) -> None:
        """The folder and not the file alone, which is replaced in one step."""
        config = configured(metrics=Metrics(textfile=Path("/var/lib/numbers/photochrom.prom")))
        values = unit(config)

        assert ['"/srv/photos" "/var/lib/numbers"'] == values["ReadWritePaths"]
        assert '"/var/lib/numbers"' in values["RequiresMountsFor"][0].split()

    def test_kept_originals_cannot_be_written_at_all(self) -> None:
        """With `after: keep` the kernel itself keeps the inbox as it is."""
        config = configured(originals=Originals(after="keep"))

        assert [Path("/srv/photos", name) for name in ("outbox", "rejected", "state")] == (
            writable_paths(config)
        )

    def test_photochrom_cannot_change_itself(self) -> None:
        """Also when config.yaml, the environment and the keys lie beside the folders."""
        program = Program(
            Path("/srv/photos/.venv/bin/photochrom"),
            (Path("/srv/photos/.venv"), Path("/usr")),
            Path("/srv/photos/config.yaml"),
        )
        config = configured(
            credentials=Credentials(certificate=Path("me.pem"), key=Path("/etc/photochrom/me.key"))
        )

        assert ['"/srv/photos/config.yaml" "/srv/photos/.venv" "/srv/photos/me.pem"'] == (
            unit(config, program)["ReadOnlyPaths"]
        )
        assert [""] == unit(configured())["ReadOnlyPaths"]

    def test_shares_are_waited_for(self) -> None:
        """Each folder, and where photochrom itself is."""
        (mounts,) = unit(configured())["RequiresMountsFor"]

        assert {
            *(f'"/srv/photos/{name}"' for name in ("inbox", "outbox", "originals")),
            *('"/srv/photos/rejected"', '"/srv/photos/state"'),
            *('"/etc/photochrom/config.yaml"', '"/opt/photochrom"', '"/usr"'),
        } == set(mounts.split())

    @pytest.mark.parametrize(
        ("base", "homes"),
        [("/srv/photos", "yes"), ("/home/anna/photos", "read-only"), ("/root/x", "read-only")],
    )
    def test_homes_are_hidden_unless_they_are_needed(self, base: str, homes: str) -> None:
        """In them, only the folders can be written then."""
        assert [homes] == unit(configured(base))["ProtectHome"]

    @pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\x7f", "caf\udce9"])
    def test_a_path_that_units_cannot_hold_is_refused(self, name: str) -> None:
        """A newline must not become a directive of its own."""
        with pytest.raises(DeviceError, match="characters that systemd unit files cannot express"):
            render(configured(f"/srv/{name}"), PROGRAM, gpu=False)

    def test_a_path_is_one_word(self) -> None:
        """Blanks, quotes and signs that mean something to systemd are held in quotes."""
        assert r'"/a b/\"c\"/100%%/\\x"' == quoted(Path(r'/a b/"c"/100%/\x'))

    def test_a_dollar_starts_no_variable(self) -> None:
        """In the command, that is; elsewhere systemd takes it as it is."""
        program = PROGRAM._replace(config=Path("/etc/$HOME.yaml"))
        (command,) = unit(configured(), program)["ExecStart"]

        assert '"/opt/photochrom/bin/photochrom" run --config "/etc/$$HOME.yaml"' == command

    def test_temporary_folders_do_not_suit_a_service(self) -> None:
        """Which has its own, empty ones."""
        found = list(notes(configured("/tmp/x"), PROGRAM))  # noqa: S108

        assert len(found) == 5
        assert found[0].startswith("/tmp/x/inbox is invisible to the service")  # noqa: S108


class TestService:
    """How it is started, watched and ended."""

    def test_it_has_time_to_finish_what_is_in_work(self) -> None:
        """Whatever `stop.within` says; the watchdog is more patient, too."""
        values = unit(configured(stop=Stop(within=600.0)))

        assert ["660"] == values["TimeoutStopSec"]
        assert ["900"] == values["WatchdogSec"]

    def test_the_network_is_open_only_for_a_timestamp_server(self) -> None:
        """Nothing else ever asks for it."""
        closed = unit(configured())
        signed = unit(configured(credentials=Credentials(timestamp="https://stamp.example")))

        assert (["yes"], ["any"], ["AF_UNIX"]) == (
            *(closed["PrivateNetwork"], closed["IPAddressDeny"]),
            closed["RestrictAddressFamilies"],
        )
        assert (["no"], [""], ["AF_UNIX AF_INET AF_INET6 AF_NETLINK"]) == (
            *(signed["PrivateNetwork"], signed["IPAddressDeny"]),
            signed["RestrictAddressFamilies"],
        )

    def test_only_this_machine_may_ask_for_metrics(self) -> None:
        """All other addresses stay forbidden."""
        values = unit(configured(metrics=Metrics(listen="127.0.0.1:9183")))
        keys = (
            *("PrivateNetwork", "IPAddressDeny", "IPAddressAllow"),
            "RestrictAddressFamilies",
        )

        assert [["no"], ["any"], ["localhost"], ["AF_UNIX AF_INET AF_INET6"]] == [
            values[key] for key in keys
        ]
        assert [""] == unit(configured())["IPAddressAllow"]

    def test_metrics_and_a_timestamp_server_go_together(self) -> None:
        """What is open to the server is not closed by the metrics."""
        both = unit(
            configured(
                metrics=Metrics(listen="127.0.0.1:9183"),
                credentials=Credentials(timestamp="https://stamp.example"),
            )
        )
        signed = unit(configured(credentials=Credentials(timestamp="https://stamp.example")))

        assert signed == both

    def test_the_card_is_let_in_only_when_asked_for(self) -> None:
        """By a file of its own."""
        without, with_card = (render(configured(), PROGRAM, gpu=gpu) for gpu in (False, True))

        for name in (GPU, TRAIN_GPU):
            assert name not in without
            assert ["char-nvidia* rw"] == settings(with_card[name])["DeviceAllow"]

    def test_a_cluster_is_let_in_only_where_it_colors(self) -> None:
        """Its network, and what Ray has in /tmp; by a file of its own."""
        ray = Engine(kind="ray", token=Path("/etc/photochrom/token"))
        without, with_cluster = (
            render(configured(engine=engine), PROGRAM, gpu=False) for engine in (Engine(), ray)
        )
        said = settings(with_cluster[CLUSTER])

        assert CLUSTER not in without
        assert (["no"], ["no"]) == (said["PrivateNetwork"], said["PrivateTmp"])
        assert ["-/tmp/ray"] == said["ReadWritePaths"]
        assert "AF_INET" in said["RestrictAddressFamilies"][0].split()
        assert "/etc/photochrom/token" in with_cluster[UNIT]
        assert settings(with_cluster[UNIT])["PrivateNetwork"] == ["yes"]

    def test_a_reload_is_a_signal_to_the_daemon(self) -> None:
        """Systemd, not photochrom's template, puts its process in."""
        assert ["/bin/kill -HUP $MAINPID"] == unit(configured())["ExecReload"]

    @pytest.mark.parametrize("name", [UNIT, TRAIN, WEB])
    def test_every_block_says_why(self, name: Path) -> None:
        """A unit is read by those who must trust it."""
        text = render(configured(), PROGRAM, gpu=False)[name]
        service = text.partition("[Service]")[2].partition("[Install]")[0]
        blocks = [block for block in service.split("\n\n") if block.strip()]

        assert len(blocks) >= 7
        assert all("#" in block for block in blocks)


class TestTraining:
    """What the service that trains may do, and when."""

    CONFIG = configured(training=Training(collections=[Path("/srv/color"), Path("/home/anna/x")]))

    def test_it_may_write_the_state_folder_only(self) -> None:
        """Not the photographs it learns from, nor scans, results or originals."""
        values = unit(self.CONFIG, name=TRAIN)

        assert ['"/srv/photos/state"'] == values["ReadWritePaths"]
        assert (["strict"], ["read-only"]) == (values["ProtectSystem"], values["ProtectHome"])

    def test_collections_on_shares_are_waited_for(self) -> None:
        """And those on which it is measured, too."""
        config = configured(
            training=Training(collections=[Path("/srv/color")], reference=Path("/srv/kept"))
        )
        (mounts,) = unit(config, name=TRAIN)["RequiresMountsFor"]

        assert {'"/srv/color"', '"/srv/kept"', '"/srv/photos/state"'} <= set(mounts.split())
        assert '"/srv/photos/inbox"' not in mounts
        assert '"/srv/color"' not in unit(config)["RequiresMountsFor"][0]

    def test_its_sandbox_is_the_daemons(self) -> None:
        """But for what may be written, and for leases; it never needs the network."""
        config = configured(credentials=Credentials(timestamp="https://stamp.example"))
        ours, daemons = unit(config, name=TRAIN), unit(config)
        of_the_sandbox = {
            line.partition("=")[0]
            for line in (TEMPLATES / "sandbox.conf").read_text().splitlines()
            if line and not line.startswith("#")
        }
        differing = {key for key in of_the_sandbox if ours[key] != daemons[key]}

        assert len(of_the_sandbox) >= 30
        assert differing == {
            *("ReadWritePaths", "PrivateNetwork", "IPAddressDeny", "RestrictAddressFamilies"),
            *("CapabilityBoundingSet", "AmbientCapabilities", "PrivateUsers"),
        }
        assert ["CAP_LEASE"] == daemons["AmbientCapabilities"]
        assert ["yes"] == ours["PrivateNetwork"]

    def test_it_takes_only_what_nobody_else_wants(self) -> None:
        """Of the processor, the disk and the memory."""
        values = unit(self.CONFIG, name=TRAIN)

        assert (["19"], ["idle"], ["idle"]) == (
            *(values["Nice"], values["CPUSchedulingPolicy"]),
            values["IOSchedulingClass"],
        )
        assert ["75%"] == values["MemoryMax"]

    def test_the_timer_starts_it_each_month(self) -> None:
        """A month in which the machine was off is made up for."""
        text = render(configured(), PROGRAM, gpu=False)[TIMER]

        assert (["monthly"], ["true"]) == (
            settings(text)["OnCalendar"],
            settings(text)["Persistent"],
        )
        assert (
            '"/opt/photochrom/bin/photochrom" train --scheduled --config'
            in (unit(self.CONFIG, name=TRAIN)["ExecStart"][0])
        )


class TestPage:
    """What the service that shows the review page may do."""

    def test_it_is_there_only_if_it_is_served(self) -> None:
        """With web.listen."""
        assert WEB in render(configured(), PROGRAM, gpu=False)
        assert WEB not in render(configured(web=Web()), PROGRAM, gpu=True)

    def test_it_can_change_neither_originals_nor_results(self) -> None:
        """It renames between inbox and rejected, in their parent, where the rest stays as it is."""
        values = unit(configured(), name=WEB)

        assert ['"/srv/photos"'] == values["ReadWritePaths"]
        assert ({'"/srv/photos/outbox"', '"/srv/photos/originals"'}) == set(
            values["ReadOnlyPaths"][0].split()
        )
        assert [""] == values["AmbientCapabilities"]
        assert ["yes"] == values["PrivateUsers"]

    def test_kept_originals_cannot_be_written_at_all(self) -> None:
        """With `after: keep` it takes no uploads either."""
        values = unit(configured(originals=Originals(after="keep")), name=WEB)

        assert ['"/srv/photos/rejected" "/srv/photos/state"'] == values["ReadWritePaths"]

    @pytest.mark.parametrize(
        ("listen", "denied", "allowed"),
        [("127.0.0.1:8420", "any", "localhost"), ("0.0.0.0:8420", "", "")],
    )
    def test_the_network_is_what_it_listens_on(
        self, listen: str, denied: str, allowed: str
    ) -> None:
        """This machine alone, unless other machines are to reach it; it looks up no names."""
        values = unit(configured(web=Web(listen=listen, users=Path("users"))), name=WEB)

        assert ([denied], [allowed]) == (values["IPAddressDeny"], values["IPAddressAllow"])
        assert ["AF_UNIX AF_INET AF_INET6"] == values["RestrictAddressFamilies"]

    def test_its_sandbox_is_the_daemons(self) -> None:
        """But for what may be written, leases and the network."""
        page, daemons = unit(configured(), name=WEB), unit(configured())
        differing = {key for key in page if key in daemons and page[key] != daemons[key]}

        assert differing == {
            *(
                "Description",
                "Type",
                "ExecStart",
                "TimeoutStopSec",
                "ReadOnlyPaths",
                "PrivateNetwork",
            ),
            *("IPAddressAllow", "RestrictAddressFamilies"),
            *("CapabilityBoundingSet", "AmbientCapabilities", "PrivateUsers"),
        }


class TestSystemd:
    """What systemd's own tools say."""

    @pytest.mark.parametrize("name", [UNIT, TRAIN, TIMER, WEB])
    @pytest.mark.parametrize("gpu", [False, True])
    def test_the_unit_is_right(self, tmp_path: Path, name: Path, *, gpu: bool) -> None:
        """`systemd-analyze verify` finds nothing, whatever the paths are like."""
        program = PROGRAM._replace(command=Path(shutil.which("true") or "/bin/true"))
        base = r'/srv/my "best" photos/100%/$x/\n'
        root = installed(tmp_path, configured(base), program, gpu=gpu)
        verified = ask("systemd-analyze", "verify", "--man=no", root / name)

        assert ("", "", 0) == (verified.stdout, verified.stderr, verified.returncode)

    def test_a_wrong_unit_would_be_found(self, tmp_path: Path) -> None:
        """The test above can fail."""
        root = installed(tmp_path, configured())
        text = (root / UNIT).read_text().replace("PrivateUsers=no", "PrivateUser=no")
        (root / UNIT).write_text(text)
        verified = ask("systemd-analyze", "verify", "--man=no", root / UNIT)

        assert "Unknown key" in verified.stderr

    @pytest.mark.parametrize("name", [UNIT, TRAIN])
    @pytest.mark.parametrize(
        ("gpu", "listen", "most"),
        [(False, None, 8), (True, None, 15), (False, "127.0.0.1:9183", 15)],
    )
    def test_little_is_exposed(
        self, tmp_path: Path, name: Path, *, gpu: bool, listen: str | None, most: int
    ) -> None:
        """At most 0.8 of 10 on the processor, 1.5 with a card or with metrics served."""
        root = installed(tmp_path, configured(metrics=Metrics(listen=listen)), gpu=gpu)
        judged = ask(
            *("systemd-analyze", "security", "--offline=true", f"--threshold={most}", root / name)
        )

        assert 0 == judged.returncode, judged.stdout
        assert gpu == ("char-nvidia*" in judged.stdout)

    def test_who_may_do_what_is_as_config_yaml_has_it(self) -> None:
        """The state is closed, also where it is there; the group owns the rest, and drops scans."""
        config = configured(permissions=Permissions(group="archive", folders="770"))
        lines = render(config, PROGRAM, gpu=False)[FOLDERS].splitlines()

        assert 'd "/srv/photos/state" 0700 photochrom photochrom' in lines
        for name in ("inbox", "outbox", "originals", "rejected"):
            assert f'd "/srv/photos/{name}" :2770 :photochrom :archive' in lines
        assert ["archive"] == unit(config)["Group"]
        assert ["photochrom"] == unit(config)["User"]
        assert ["0700"] == unit(config)["StateDirectoryMode"]

    def test_the_user_and_the_folders_are_made(self, tmp_path: Path) -> None:
        """By systemd-sysusers and systemd-tmpfiles; a folder that is there stays as it is."""
        root = installed(tmp_path, configured("/srv/my photos"))
        inbox = root / "srv/my photos/inbox"
        inbox.mkdir(parents=True, mode=0o755)
        inbox.chmod(0o755)
        users = ask("systemd-sysusers", f"--root={root}", root / USERS)
        folders = ask("systemd-tmpfiles", "--create", f"--root={root}", root / FOLDERS)
        if "Operation not permitted" in users.stderr + folders.stderr:
            pytest.skip("only root can make users and their folders")
        (line,) = [
            line
            for line in (root / "etc/passwd").read_text().splitlines()
            if line.startswith("photochrom:")
        ]
        owner = int(line.split(":")[2])
        made = {
            path.name: (path.stat().st_uid, oct(path.stat().st_mode & 0o7777))
            for path in inbox.parent.iterdir()
        }

        assert (0, 0) == (users.returncode, folders.returncode)
        assert "/var/lib/photochrom" in line
        new, closed = (owner, "0o2750"), (owner, "0o700")
        assert {
            "inbox": (inbox.stat().st_uid, "0o755"),
            **dict.fromkeys(("outbox", "originals", "rejected"), new),
            "state": closed,
        } == made
        assert owner != inbox.stat().st_uid


def test_the_service_may_write_where_results_are_held(tmp_path: Path) -> None:
    """Also where none are held any more, as long as some may wait there for approval."""
    away = tmp_path / "away"
    never = Config(review=Review(folder=away)).beside(tmp_path / "home")
    held = Config(review=Review(mode="hold", folder=away)).beside(tmp_path / "home")

    assert away in writable_paths(held)
    assert away not in writable_paths(never)
    away.mkdir()
    (away / MARKER).touch()
    assert away in writable_paths(never)
