"""The application as browsers, and what pretends to be one, meet it."""

import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount

from service.web.app import routes
from service.web.pages import visitor
from service.web.protection import LARGEST_BODY
from service.web.routing import GuardedRoute, changing, reading
from service.web.users import Role, UsersFile
from tests.support.web_client import PASSWORD, Clock, WebClient, web_app

USERS = {"ada": Role.READER, "ben": Role.REVIEWER, "cleo": Role.OPERATOR}
LIMIT_OF_ADDRESS = 900


def who(request: Request) -> Response:
    """Tell who asks."""
    return JSONResponse({"name": visitor(request).name, "role": visitor(request).role})


def wired(app: Starlette) -> Starlette:
    """Add a route for each role to an application."""
    app.router.routes[:0] = [
        reading("/who", who),
        *(changing(f"/as-{role}", who, role) for role in Role),
    ]
    return app


@pytest.fixture
def app(tmp_path: Path) -> Starlette:
    """Return an application with three users."""
    return wired(web_app(tmp_path, users=USERS, hosts=["archive.example.org"]))


# Who gets in


def test_without_users_this_machine_is_the_operator(tmp_path: Path) -> None:
    """On the loopback, without users, whoever can connect may do everything."""
    client = WebClient(wired(web_app(tmp_path)))

    assert "operator" == client.get("/who", html=False).json()["role"]
    assert 200 == client.post("/as-operator").status_code


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
def test_without_users_nobody_comes_through_a_proxy(tmp_path: Path, header: str) -> None:
    """Who is on another machine is not this machine's operator."""
    client = WebClient(wired(web_app(tmp_path)))

    assert 403 == client.get("/log-in", **{header.replace("-", "_"): "203.0.113.9"}).status_code
    assert 401 == client.post("/as-operator", headers={header: "203.0.113.9"}).status_code


def test_a_stranger_is_sent_to_the_log_in(app: Starlette) -> None:
    """A page leads to the log-in and back; a script gets 401 in words; nothing is changed."""
    client = WebClient(app)
    sent = client.get("/who?page=2&word=a%20b")

    assert (303, "/log-in?next=/who%3Fpage%3D2%26word%3Da%2520b") == (
        sent.status_code,
        sent.headers["location"],
    )
    assert (401, {"error": "Please log in first."}) == (
        (answer := client.get("/who", html=False)).status_code,
        answer.json(),
    )
    assert 401 == client.post("/as-reader").status_code


def test_log_in_and_out(app: Starlette) -> None:
    """Who logs in is known by name and role; after the log-out no longer."""
    client = WebClient(app)
    answer = client.log_in("ben")

    assert (303, "/") == (answer.status_code, answer.headers["location"])
    assert {"name": "ben", "role": "reviewer"} == client.get("/who").json()
    assert 303 == client.post("/log-out").status_code
    assert 303 == client.get("/who").status_code


def test_the_session_cookie_is_kept_from_scripts_and_sites(app: Starlette) -> None:
    """HttpOnly, SameSite=Strict, a new token at log-in, Secure and __Host- behind HTTPS."""
    client = WebClient(app)
    first = client.get("/log-in").headers["set-cookie"]
    cookie = client.log_in("ben").headers["set-cookie"]

    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert first.split(";")[0] != cookie.split(";")[0]


def test_behind_https_the_cookie_is_secure(tmp_path: Path) -> None:
    """What a trusted proxy says of the browser's connection counts; what others say does not."""
    app = web_app(tmp_path, users=USERS, trusted_proxies=["10.0.0.0/8"])
    trusted = WebClient(app, peer="10.0.0.7").get("/log-in", X_Forwarded_Proto="https")
    other = WebClient(app, peer="11.0.0.7").get("/log-in", X_Forwarded_Proto="https")

    assert trusted.headers["set-cookie"].startswith("__Host-photochrom=")
    assert "Secure" in trusted.headers["set-cookie"]
    assert "Secure" not in other.headers["set-cookie"]


def test_roles_include_those_before(app: Starlette) -> None:
    """A reader may read, a reviewer review too, the operator everything."""
    may = {}
    for name in USERS:
        client = WebClient(app)
        client.log_in(name)
        may[name] = [client.post(f"/as-{role}").status_code for role in Role]

    assert {"ada": [200, 403, 403], "ben": [200, 200, 403], "cleo": [200, 200, 200]} == may


def test_a_removed_user_is_out_at_once(app: Starlette, tmp_path: Path) -> None:
    """So is one with a new password, and another role counts at once."""
    ben, cleo = WebClient(app), WebClient(app)
    ben.log_in("ben")
    cleo.log_in("cleo")
    users = UsersFile(tmp_path / "users")
    users.remove("cleo")
    users.add("ben", Role.READER, PASSWORD)  # another salt

    assert [303, 303] == [one.get("/who").status_code for one in (ben, cleo)]


def test_sessions_end(tmp_path: Path) -> None:
    """After twelve hours without a request, and after a week in any case."""
    clock = Clock()
    app = wired(web_app(tmp_path, users=USERS, clock=clock))
    idle, busy = WebClient(app), WebClient(app)
    idle.log_in("ada")
    busy.log_in("ada")
    clock.now += 11 * 3600
    assert [200, 200] == [one.get("/who").status_code for one in (idle, busy)]
    alive = 0
    for _ in range(20):
        clock.now += 11 * 3600
        alive += busy.get("/who").status_code == 200

    assert 303 == idle.get("/who").status_code
    assert 14 == alive  # seven days


def test_the_way_back_stays_on_this_site(app: Starlette) -> None:
    """After the log-in nobody is led to another site."""
    for target in ("https://evil.example", "//evil.example", "/\\evil.example", "evil"):
        data = {"name": "ada", "password": PASSWORD, "next": target}

        assert "/" == WebClient(app).post("/log-in", data=data).headers["location"]


# Wrong passwords


def test_wrong_passwords_have_to_wait(tmp_path: Path) -> None:
    """Five are free; then each doubles the wait, for the right password too; time heals."""
    clock = Clock()
    app = web_app(tmp_path, users=USERS, clock=clock)
    client = WebClient(app)
    codes = [client.log_in("ada", "wrong").status_code for _ in range(5)]
    refused = client.log_in("ada")

    assert ([403] * 5, 429, "1") == (codes, refused.status_code, refused.headers["retry-after"])
    assert "Try again in 1 second." in refused.text
    clock.now += 1
    assert 403 == client.log_in("ada", "wrong").status_code
    assert "2" == client.log_in("ada").headers["retry-after"]
    clock.now += 2
    assert 303 == client.log_in("ada").status_code
    assert 403 == client.log_in("ada", "wrong").status_code  # the count began anew


def test_guesses_from_many_addresses_wait_too(tmp_path: Path) -> None:
    """The name counts as well as the address, but for a minute at most."""
    clock = Clock()
    app = web_app(tmp_path, users=USERS, clock=clock)
    for number in range(40):
        WebClient(app, peer=f"203.0.113.{number}").log_in("ada", "wrong")
        clock.now += 60
    WebClient(app, peer="198.51.100.1").log_in("ada", "wrong")

    assert 429 == WebClient(app, peer="192.0.2.1").log_in("ada").status_code
    assert 303 == WebClient(app, peer="192.0.2.1").log_in("ben").status_code
    clock.now += 60
    assert 303 == WebClient(app, peer="192.0.2.1").log_in("ada").status_code


def test_an_unknown_name_costs_as_much_as_a_wrong_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody learns from the time, or from the answer, which names exist."""
    checked = []
    monkeypatch.setattr(
        "argon2.PasswordHasher.verify",
        lambda *_: checked.append(1) or (_ for _ in ()).throw(ValueError),
    )
    monkeypatch.setattr("service.web.users.VerificationError", ValueError)
    app = web_app(tmp_path, users=USERS)
    answers = [WebClient(app).log_in(name, "wrong") for name in ("ada", "nobody")]

    assert 2 == len(checked)
    assert 1 == len({re.sub(r"[0-9a-f]{64}", "", one.text) for one in answers})


# A trusted proxy


def test_a_trusted_proxy_says_who_it_is(tmp_path: Path) -> None:
    """The header counts from the proxy alone; who is not in the file reads."""
    settings = {"trusted_header": "X-Remote-User", "trusted_proxies": ["10.0.0.1"]}
    app = wired(web_app(tmp_path, users=USERS, **settings))
    proxy, other = WebClient(app, peer="10.0.0.1"), WebClient(app, peer="10.0.0.2")

    assert {"name": "ben", "role": "reviewer"} == proxy.get("/who", X_Remote_User="ben").json()
    assert {"name": "dora", "role": "reader"} == proxy.get("/who", X_Remote_User="dora").json()
    assert 303 == other.get("/who", X_Remote_User="ben").status_code
    assert 303 == proxy.get("/who").status_code


def test_a_proxy_without_a_name_lets_nobody_in(tmp_path: Path) -> None:
    """With the header alone there is no log-in, and on the loopback no operator either."""
    settings = {"trusted_header": "X-Remote-User", "trusted_proxies": ["127.0.0.1"]}
    client = WebClient(wired(web_app(tmp_path, **settings)))

    assert 401 == client.get("/who", html=False).status_code
    assert "Nobody can log in here" in client.get("/log-in").text


def test_the_proxy_passes_on_whose_guesses_they_are(tmp_path: Path) -> None:
    """One guesser behind the proxy does not make all others wait."""
    app = web_app(tmp_path, users=USERS, trusted_proxies=["10.0.0.1"])
    client = WebClient(app, peer="10.0.0.1")

    def guess(name: str, address: str) -> int:
        sent = {"name": name, "password": "wrong"}
        headers = {"X-Forwarded-For": f"6.6.6.6, {address}"}
        return client.post("/log-in", data=sent, headers=headers).status_code

    assert 429 in [guess(f"name{number}", "203.0.113.5") for number in range(8)]
    assert 403 == guess("ada", "203.0.113.6")


# Forged requests


@pytest.mark.parametrize("role", list(Role))
def test_a_change_needs_the_token_of_the_page(app: Starlette, role: Role) -> None:
    """Without a token, or with that of another browser, nothing is changed."""
    client, other = WebClient(app), WebClient(app)
    client.log_in("cleo")
    other.log_in("cleo")
    words = {"error": "This page is too old. Reload it and try again."}

    assert (403, words) == (
        (answer := client.post(f"/as-{role}", csrf=None)).status_code,
        answer.json(),
    )
    assert 403 == client.post(f"/as-{role}", csrf=other.token()).status_code
    assert (
        200
        == client.post(f"/as-{role}", data={"csrf_token": client.token()}, csrf=None).status_code
    )


@pytest.mark.parametrize(
    "header",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_sites_change_nothing(app: Starlette, header: dict[str, str]) -> None:
    """Not even with the right token, which a fault elsewhere might have told."""
    client = WebClient(app)
    client.log_in("cleo")

    assert 403 == client.post("/as-operator", headers=header).status_code
    assert 403 == client.post("/log-in", headers=header).status_code


def test_every_route_says_whose_it_is() -> None:
    """No route is open by oversight; what changes something needs a token."""
    open_to_all = {"/log-in", "/log-out", "/language", "/theme"}
    for route in routes():
        if isinstance(route, Mount):
            assert "/static" == route.path
            continue
        assert isinstance(route, GuardedRoute), route
        assert (route.role is None) == (route.path in open_to_all)
        assert route.methods in ({"GET", "HEAD"}, {"POST"})


# Hosts, headers, sizes


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:80", "archive.example.org", "ARCHIVE.example.org:443"]
)
def test_known_hosts_are_answered(app: Starlette, host: str) -> None:
    """localhost, the address of the server, and what web.hosts lists."""
    assert 200 == WebClient(app, host).get("/log-in").status_code


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "169.254.169.254"])
def test_other_hosts_are_refused(app: Starlette, host: str) -> None:
    """A name that was made to point here (DNS rebinding) gets no page, and no cookie."""
    answer = WebClient(app, host).get("/log-in")

    assert 421 == answer.status_code
    assert "web.hosts" in answer.json()["error"]
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/log-in", "/no-such-page", "/static/style.css"])
def test_every_answer_has_safe_headers(app: Starlette, path: str) -> None:
    """No script but ours, in no frame, and no page in a cache."""
    headers = WebClient(app).get(path).headers

    assert "script-src 'self';" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert "nosniff" == headers["x-content-type-options"]
    assert "same-origin" == headers["referrer-policy"]
    assert ("no-cache" if "static" in path else "no-store") == headers["cache-control"]


def test_no_template_has_inline_script_or_style() -> None:
    """The Content-Security-Policy would block it."""
    folder = Path("service/web/templates")
    texts = {path.name: path.read_text() for path in folder.glob("*.html")}

    assert [] == [
        (name, found)
        for name, text in texts.items()
        for found in re.findall(r"<style|\sstyle=|\son\w+=|javascript:", text)
    ]


def test_large_requests_are_refused(app: Starlette) -> None:
    """Only uploads may be larger, and those have a limit of their own."""
    client = WebClient(app)
    client.log_in("ben")

    assert 413 == client.post("/as-reader", content=b"x" * (LARGEST_BODY + 1)).status_code
    assert 200 == client.post("/as-reader", content=b"x" * LARGEST_BODY).status_code


# Errors and choices


def test_errors_are_told_in_words(app: Starlette) -> None:
    """People get a page, scripts JSON, each in their language."""
    client = WebClient(app, language="zh-Hans,en;q=0.5")
    answer = client.get("/no-such-page")

    assert (404, True, True) == (
        answer.status_code,
        'lang="zh-CN"' in answer.text,
        "没有这个页面。" in answer.text,
    )
    assert {"error": "没有这个页面。"} == client.get("/no-such-page", html=False).json()
    assert 405 == client.get("/language", html=False).status_code


def test_language_and_appearance_are_kept(app: Starlette) -> None:
    """The choice outlives the visit, and wins over what the browser asks for."""
    client = WebClient(app)
    for path, data in (("/language", {"language": "zh-CN"}), ("/theme", {"theme": "dark"})):
        answer = client.post(path, data={**data, "next": "/log-in"})
        assert (303, "/log-in") == (answer.status_code, answer.headers["location"])
    text = client.get("/log-in").text

    assert 'lang="zh-CN" data-theme="dark"' in text
    assert 400 == client.post("/theme", data={"theme": "pink"}).status_code


def test_mistakes_of_ours_tell_nothing(app: Starlette) -> None:
    """A fault is told in general words; the log has the rest."""

    def fails(_request: Request) -> Response:
        message = "a secret"
        raise RuntimeError(message)

    app.router.routes.insert(0, reading("/fails", fails, None))
    answer = WebClient(app).get("/fails", html=False)

    assert (500, False) == (answer.status_code, "secret" in answer.text)
