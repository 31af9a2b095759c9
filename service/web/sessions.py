"""Who is asking: sessions, the header of a trusted proxy, and the token against forged requests.

Every browser has a random token in a cookie. A log-in makes it a session, kept in memory, so a
restart logs everybody out. The CSRF token of a page is derived from it with a key of this process.
"""

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from service.config.loader import Config
from service.filesystem.access import user_name
from service.web.users import Role, User, UsersFile

IDLE = 12 * 3600.0  # seconds without a request, after which a session ends
LONGEST = 7 * 86_400.0  # seconds from log-in to the end of a session
TOKEN_LENGTH = 43  # characters of 32 random bytes
MOST_SESSIONS = 10_000
FORWARDED = {"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"}  # by proxies


@dataclass(frozen=True)
class Visitor:
    """Who asks, and what they may do.

    Attributes:
        name: of the user.
        role: theirs.
        can_log_out: whether they logged in here, not at a proxy or on this machine.
    """

    name: str
    role: Role
    can_log_out: bool = False


@dataclass
class _Session:
    name: str
    hash: str  # of the password at log-in; another password ends the session
    began: float
    last: float


class Sessions:
    """The sessions of one process, and who each request comes from.

    Args:
        config: with `web`.
        clock: seconds that never go back.
    """

    def __init__(self, config: Config, clock: Callable[[], float]) -> None:
        """Start without a session."""
        self.users = UsersFile(config.web.users) if config.web.users else None
        self._header = config.web.trusted_header
        self._proxies = [ipaddress.ip_network(one) for one in config.web.trusted_proxies]
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._sessions: dict[str, _Session] = {}

    # Where a request comes from

    def through_proxy(self, connection: HTTPConnection) -> bool:
        """Tell whether a request comes from a trusted proxy."""
        try:
            peer = ipaddress.ip_address(connection.client.host if connection.client else "")
        except ValueError:
            return False
        return any(peer in network for network in self._proxies)

    def address(self, connection: HTTPConnection) -> str:
        """Return the address of the browser; of IPv6 its network, which has one owner."""
        peer = connection.client.host if connection.client else "unknown"
        if self.through_proxy(connection):
            forwarded = connection.headers.getlist("x-forwarded-for")
            peer = ",".join(forwarded).rpartition(",")[2].strip() or peer
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return peer[:64]
        if address.version == 6:
            return str(ipaddress.ip_network((address, 64), strict=False))
        return str(address)

    def secure(self, connection: HTTPConnection) -> bool:
        """Tell whether the browser uses HTTPS, as far as is known."""
        proto = connection.headers.get("x-forwarded-proto", "")
        return connection.url.scheme == "https" or (
            proto == "https" and self.through_proxy(connection)
        )

    # The cookie

    def cookie_name(self, connection: HTTPConnection) -> str:
        """Return the name of the cookie; other services on this host have other ports."""
        if self.secure(connection):
            return "__Host-photochrom"
        server = connection.scope.get("server") or ("", 0)
        return f"photochrom-{server[1]}"

    def token(self, connection: HTTPConnection) -> str | None:
        """Return the token in the cookie, or None."""
        token = connection.cookies.get(self.cookie_name(connection), "")
        return token if len(token) == TOKEN_LENGTH else None

    @staticmethod
    def new_token() -> str:
        """Make a token."""
        return secrets.token_urlsafe(32)

    def csrf(self, token: str) -> str:
        """Return the CSRF token of a browser's token."""
        return hmac.new(self._key, token.encode(), hashlib.sha256).hexdigest()

    def is_csrf(self, token: str, given: str) -> bool:
        """Tell whether a CSRF token belongs to a browser's token; in constant time."""
        return hmac.compare_digest(self.csrf(token).encode(), given.encode())

    # Sessions

    def begin(self, user: User) -> str:
        """Begin a session after a log-in; returns its token."""
        now = self._clock()
        self._sessions = {
            token: one for token, one in self._sessions.items() if not _over(one, now)
        }
        while len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        token = self.new_token()
        self._sessions[token] = _Session(user.name, user.hash, now, now)
        return token

    def end(self, token: str) -> None:
        """End a session, if it is one."""
        self._sessions.pop(token, None)

    def visitor(self, connection: HTTPConnection) -> Visitor | None:
        """Return who asks; None: nobody who has logged in.

        Without users and without a trusted header the page is only on the loopback, and everyone
        on this machine is the operator, named after the user the page runs as; but nobody whose
        request a proxy passed on.

        Raises:
            UsersFileError: the file of users cannot be read.
        """
        if self.users is None and self._header is None:
            if FORWARDED & set(connection.headers):
                return None  # from another machine, by way of a proxy here
            return Visitor(user_name(), Role.OPERATOR)
        if self._header is not None and self.through_proxy(connection):
            name = connection.headers.get(self._header, "").strip()
            if name and name.isprintable() and len(name) <= 64:
                user = self.users.users().get(name) if self.users else None
                return Visitor(name, user.role if user else Role.READER)
        return self._logged_in(self.token(connection) or "")

    def _logged_in(self, token: str) -> Visitor | None:
        session, now = self._sessions.get(token), self._clock()
        if session is None or self.users is None:
            return None
        user = self.users.users().get(session.name)
        if _over(session, now) or user is None or user.hash != session.hash:
            self.end(token)
            return None
        session.last = now
        return Visitor(user.name, user.role, can_log_out=True)


def _over(session: _Session, now: float) -> bool:
    return now - session.last > IDLE or now - session.began > LONGEST
