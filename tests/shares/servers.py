"""Real servers on free ports of the loopback, with configurations of their own: smbd, vsftpd, sshd.

Their share is the whole of /srv of the machine they run on, written to as ANNA.
"""

from pathlib import Path

from tests.shares.machine import (
    ANNA,
    DAEMON,
    GROUP,
    PASSWORD,
    Machine,
    free_port,
    key_for,
    wait_for_port,
)

_SMB = """
[global]
server role = standalone server
smb ports = {port}
interfaces = lo
bind interfaces only = yes
private dir = {folder}
lock directory = {folder}
state directory = {folder}
cache directory = {folder}
pid directory = {folder}
ncalrpc dir = {folder}
log file = {folder}/log
load printers = no
disable spoolss = yes
# Small pieces, so that a file is on its way for a while.
smb2 max write = 65536
"""
_SMB_SHARE = f"""
[srv]
path = /srv
read only = no
force group = {GROUP}
create mask = 0664
directory mask = 2775
"""
_FTP = """
listen=YES
background=NO
listen_address=127.0.0.1
listen_port={port}
max_clients=0
max_per_ip=0
seccomp_sandbox=NO
secure_chroot_dir={folder}
xferlog_enable=NO
"""
_FTP_HABITS = """
anonymous_enable=NO
local_enable=YES
write_enable=YES
local_umask=002
local_root=/srv
"""
_SSH = """
ListenAddress 127.0.0.1
Port {port}
HostKey {key}
AuthorizedKeysFile {public}
PidFile none
StrictModes no
UsePAM no
MaxStartups 400
"""
_SSH_HABITS = "Subsystem sftp internal-sftp -u 0002\n"
SSH_OPTIONS = (
    *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
    *("-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "-F", "none"),
)


class Servers:
    """All of them, at work on a machine until it is gone.

    Attributes:
        smb, ftp, ssh: their ports.
        key: the private key that opens ANNA's and the daemon's account.
    """

    def __init__(
        self,
        machine: Machine,
        folder: Path,
        *,
        smb: str = _SMB_SHARE,
        ftp: str = _FTP_HABITS,
        ssh: str = _SSH_HABITS,
    ) -> None:
        """Start them.

        Args:
            machine: where they run.
            folder: an empty one for what they need, reached by root only.
            smb: the shares of smb.conf.
            ftp: the lines of vsftpd.conf that are a matter of taste.
            ssh: the same of sshd_config.
        """
        self._machine, self._folder = machine, folder
        self.smb, self.ftp, self.ssh = free_port(), free_port(), free_port()
        self.key, public = key_for(folder)
        # The server looks for it as the account that logs in.
        machine.run("install", "-m", "644", public, "/run/key.pub")
        smbd = self._write("smb.conf", _SMB.format(port=self.smb, folder=folder) + smb)
        vsftpd = self._write("vsftpd.conf", _FTP.format(port=self.ftp, folder="/run/sshd") + ftp)
        values = {"port": self.ssh, "key": self.key, "public": "/run/key.pub"}
        sshd = self._write("sshd_config", _SSH.format(**values) + ssh)
        add = f"printf '{PASSWORD}\\n{PASSWORD}\\n' | smbpasswd -c {smbd} -a -s {ANNA}"
        machine.run("sh", "-ec", add)
        self._start("smbd", "--foreground", "--no-process-group", f"--configfile={smbd}")
        self._start("vsftpd", vsftpd)
        self._start("/usr/sbin/sshd", "-D", "-e", "-f", sshd)
        for port in (self.smb, self.ftp, self.ssh):
            wait_for_port(port)

    def ssh_command(self, program: str = "ssh") -> list[str]:
        """Return the beginning of a command that reaches sshd, without the port's option."""
        return [program, *SSH_OPTIONS, "-o", f"Port={self.ssh}", "-i", str(self.key)]

    def mount(self, remote: str, folder: str) -> None:
        """Mount a folder by sshfs, as the daemon's account, for all; files seem to be its own."""
        number, group = self._machine.run("sh", "-c", f"id -u {DAEMON}; id -g {DAEMON}").split()
        self._machine.run("mkdir", "-p", folder)
        options = f"allow_other,IdentityFile={self.key},uid={number},gid={group}"
        options += f",port={self.ssh},StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null"
        self._machine.run("sshfs", f"{DAEMON}@127.0.0.1:{remote}", folder, "-o", options)

    def _write(self, name: str, text: str) -> Path:
        path = self._folder / name
        path.write_text(text)
        return path

    def _start(self, *command: str | Path) -> None:
        with (self._folder / f"{Path(command[0]).name}.log").open("wb") as log:
            self._machine.start(*command, stdout=log, stderr=log)
