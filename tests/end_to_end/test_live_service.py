"""The service page in a real browser, beside a real daemon with a fake device."""

import signal
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import NewPage
from tests.support.command import HASTY, Command, Home
from tests.support.light_table import page_of
from tests.support.synthetic_photos import color_scene, encoded, gray_scene, save

DAEMON = (sys.executable, "-m", "tests.support.fake_device_command")
SIZES = (390, 1280, 2560)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Make an archive of one gray and one colored scan."""
    made = Home(tmp_path_factory.mktemp("live") / "home", HASTY)
    made.drop("1910/harbor.tif")
    made.drop("in color.png", color_scene(64, 80))
    return made


@pytest.fixture(scope="module")
def daemon(home: Home) -> Iterator[Command]:
    """Run the daemon until both scans are done."""
    with home.start("run", program=DAEMON) as running:
        running.wait_for("photo.moved", times=2)
        yield running


@pytest.fixture(scope="module")
def base(home: Home, daemon: Command) -> Iterator[str]:
    """Serve the page."""
    assert daemon.process.poll() is None
    with page_of(home) as address:
        yield address


def test_the_page_follows_the_work(page: Page, base: str, home: Home) -> None:
    """A scan that is dropped is counted as finished without a reload."""
    page.goto(f"{base}/service")
    expect(page.locator("#headline")).to_have_text("photochrom is running")
    before = int(page.locator("#count-finished").inner_text())
    page.evaluate("window.stayed = true")
    home.drop("1910/another.tif")

    expect(page.locator("#count-finished")).to_have_text(str(before + 1))
    assert page.evaluate("window.stayed")


def test_uploads_arrive_and_are_colored(
    page: Page, base: str, home: Home, problems: list[str], tmp_path: Path
) -> None:
    """Two chosen files, in a folder; a name that is taken is asked about; others are refused."""
    files = [save(tmp_path / name, gray_scene(64, 80)) for name in ("a.tif", "b.png")]
    (tmp_path / "notes.txt").write_text("no photograph")
    page.goto(f"{base}/service")
    page.get_by_label("Folder in the inbox").fill("uploads")
    page.locator("#files").set_input_files([*files, tmp_path / "notes.txt"])

    expect(page.locator("#uploads .good")).to_have_count(2)
    expect(page.locator("#uploads .problem")).to_contain_text("no format that photochrom reads")
    for name in ("a.tif", "b.png"):
        expect(page.locator("#uploads")).to_contain_text(f"uploads/{name}")
        wait_for_file(home.outbox / "uploads" / name, page)
    problems.clear()  # the browser's own line about the 400


def test_what_is_dropped_on_the_page_is_sent(page: Page, base: str, home: Home) -> None:
    """Drag and drop, anywhere on the page, from the bytes of a real scan."""
    page.goto(f"{base}/service")
    content = b64encode(encoded("png", gray_scene(64, 80))).decode()
    page.evaluate(
        """(content) => {
            const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], "dropped.png"));
            for (const kind of ["dragenter", "dragover", "drop"])
                document.body.dispatchEvent(
                    new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        content,
    )

    expect(page.locator("#uploads .good")).to_have_text("is in the inbox")
    wait_for_file(home.outbox / "dropped.png", page)


def test_a_name_that_is_taken_gets_a_number(
    page: Page, base: str, home: Home, problems: list[str], tmp_path: Path
) -> None:
    """Only after a click; what is there stays as it is."""
    (home.inbox / "taken").mkdir()
    (home.inbox / "taken/a.tif").symlink_to("nowhere")  # a daemon leaves it alone
    page.goto(f"{base}/service")
    page.get_by_label("Folder in the inbox").fill("taken")
    page.locator("#files").set_input_files(save(tmp_path / "a.tif", gray_scene(64, 80)))
    expect(page.locator("#uploads .problem")).to_contain_text("already has a file with this name")
    page.get_by_role("button", name="Add it under another name").click()

    expect(page.locator("#uploads")).to_contain_text("taken/a (2).tif")
    expect(page.locator("#uploads .good")).to_have_count(1)
    wait_for_file(home.outbox / "taken/a (2).tif", page)
    assert (home.inbox / "taken/a.tif").is_symlink()
    problems.clear()  # the browser's own line about the 409


def test_a_rejected_scan_is_colored_all_the_same(page: Page, base: str, home: Home) -> None:
    """After a question; the keyboard alone suffices, and the page says what was done."""
    page.goto(f"{base}/service")
    button = page.get_by_role("button", name="Color it all the same: in color.png")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("the color it has is replaced")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert not (home.outbox / "in color.png").exists()
    expect(button).to_be_focused()
    button.click()
    page.get_by_role("dialog").get_by_role(
        "button", name="Color it all the same", exact=True
    ).click()

    expect(page.locator(".notice")).to_contain_text("in color.png will be tried again.")
    wait_for_file(home.outbox / "in color.png", page)
    expect(page.get_by_text("No photograph was rejected.")).to_be_visible()


def wait_for_file(path: Path, page: Page) -> None:
    """Return when a file is there; the browser goes on meanwhile."""
    for _ in range(600):
        if path.exists():
            return
        page.wait_for_timeout(50)
    raise AssertionError(path)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_nobody_is_shut_out(
    new_page: NewPage,
    serious_violations: Callable[[Page], list[str]],
    problems: list[str],
    base: str,
    theme: str,
    language: str,
) -> None:
    """axe-core finds nothing serious; nothing is cut off at any width."""
    for width in SIZES:
        page = new_page(
            viewport={"width": width, "height": 900}, color_scheme=theme, locale=language
        )
        for path in ("/service", "/no-such-page"):
            page.goto(f"{base}{path}")
            page.locator(".menu summary").click()
            assert [] == serious_violations(page)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    problems[:] = [one for one in problems if "404" not in one]  # of the page that is none


def test_language_and_theme_are_switched_without_a_script(new_page: NewPage, base: str) -> None:
    """By forms, with and without JavaScript; the page stays the same."""
    page = new_page(java_script_enabled=False)
    page.goto(f"{base}/service")
    page.locator(".menu summary").click()
    page.get_by_role("button", name="简体中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.locator(".menu summary").click()
    page.get_by_role("button", name="深色").click()

    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.url == f"{base}/service"


def test_many_pages_of_one_browser_are_live(new_page: NewPage, base: str, home: Home) -> None:
    """Eight, although a browser has six connections; they share one, and one takes it over."""
    pages = [first := new_page()]
    pages += [first.context.new_page() for _ in range(7)]
    for page in pages:
        page.goto(f"{base}/service")
        expect(page.locator("#headline")).to_be_visible()
    before = int(first.locator("#count-finished").inner_text())
    home.drop("1910/for-all.tif")
    for page in pages:
        expect(page.locator("#count-finished")).to_have_text(str(before + 1))
    first.close()
    home.drop("1910/for-the-rest.tif")

    for page in pages[1:]:
        expect(page.locator("#count-finished")).to_have_text(str(before + 2))


def test_the_stream_ends_with_the_server(home: Home) -> None:
    """An open connection does not keep the server from stopping."""
    with ExitStack() as still_open:
        with page_of(home) as address:
            asked = httpx.stream("GET", f"{address}/events", timeout=30)
            lines = still_open.enter_context(asked).iter_lines()
            first, second = next(lines), next(lines)
        with suppress(httpx.RemoteProtocolError):  # as a connection that breaks off
            list(lines)

    assert "event: status" == first
    assert second.startswith('data: {"status": {')


def test_the_daemon_that_stops_is_noticed(page: Page, base: str, daemon: Command) -> None:
    """Last in this file: the page says so, to screen readers too."""
    page.goto(f"{base}/service")
    expect(page.locator("#headline")).to_have_text("photochrom is running")
    daemon.signal(signal.SIGTERM)

    expect(page.locator("#headline")).to_have_text("photochrom is not running")
    expect(page.locator("#announcements")).to_have_text("photochrom is not running")
