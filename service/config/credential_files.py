"""Checks `credentials` in config.yaml: both files given and readable, and the key kept private.

`worker.metadata.credentials.try_to_sign` checks the certificate itself.
"""

import os
import stat
from importlib.util import find_spec

from service.config.sections import Credentials


def half_set(credentials: Credentials) -> list[tuple[str, str]]:
    """Find a certificate without a key, or a key without a certificate.

    Returns:
        The key in config.yaml and a message.
    """
    if (credentials.certificate is None) == (credentials.key is None):
        return []
    given, other = ("certificate", "key") if credentials.key is None else ("key", "certificate")
    return [(f"credentials.{given}", f"needs credentials.{other} as well")]


def check_credentials(credentials: Credentials) -> list[tuple[str, str]]:
    """Check that the files can be read and the library is installed, if signing is configured.

    Returns:
        The key in config.yaml and a message for each problem.
    """
    problems = []
    files = {"certificate": credentials.certificate, "key": credentials.key}
    for name, path in files.items():
        if path is None:
            continue
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
        except OSError as error:
            problems.append((f"credentials.{name}", f"{path} cannot be read: {error.strerror}"))
            continue
        if name == "key" and mode & (stat.S_IROTH | stat.S_IWOTH):
            text = f"{path} is accessible to all users; run: chmod o= {path}"
            problems.append(("credentials.key", text))
    if any(files.values()) and find_spec("c2pa") is None:
        text = "needs the extra c2pa: pip install 'photochrom[c2pa]'"
        problems.append(("credentials", text))
    return problems
