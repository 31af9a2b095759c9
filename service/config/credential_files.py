"""Can photos be signed as config.yaml says: both files named, readable, the key kept from others?

Whether the certificate itself will do is tried by `worker.metadata.credentials.try_to_sign`.
"""

import os
import stat
from importlib.util import find_spec

from service.config.sections import Credentials


def half_set(credentials: Credentials) -> list[tuple[str, str]]:
    """Find the certificate without a key, or the key without a certificate.

    Returns:
        Key in config.yaml and plain words.
    """
    if (credentials.certificate is None) == (credentials.key is None):
        return []
    given, other = ("certificate", "key") if credentials.key is None else ("key", "certificate")
    return [(f"credentials.{given}", f"needs credentials.{other} beside it")]


def check_credentials(credentials: Credentials) -> list[tuple[str, str]]:
    """Look at the files that sign and for the library that does; nothing where they are not set.

    Returns:
        Key in config.yaml and plain words of everything wrong.
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
            text = f"{path} is open to everybody on this machine; chmod o= {path}"
            problems.append(("credentials.key", text))
    if any(files.values()) and find_spec("c2pa") is None:
        text = "needs the extra c2pa: pip install 'photochrom[c2pa]'"
        problems.append(("credentials", text))
    return problems
