"""The tests' own browser: it drives a page, and what goes wrong in a page is seen."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.support.browser import page_of, served

COUNTS = """
const button = document.querySelector("button");
let count = 0;
button.addEventListener("click", () => { count += 1; button.textContent = `pressed ${count}`; });
"""
GOES_WRONG = """
fetch("missing.json");
fetch("http://192.0.2.1/elsewhere").catch(() => {});
document.body.setAttribute("style", "color: red");
setTimeout(() => { throw new Error("thrown"); });
"""
STRICT = {"Content-Security-Policy": "default-src 'self'; img-src 'self' data:; connect-src *"}


def write(folder: Path, body: str, script: str) -> Path:
    """Write a page and its script."""
    (folder / "index.html").write_text(page_of(body, "script.js"))
    (folder / "script.js").write_text(script)
    return folder


def test_chromium_runs_a_page(page: Page, tmp_path: Path) -> None:
    """Mouse and keyboard reach a button, whose script runs under a strict policy."""
    with served(write(tmp_path, "<button>press</button>", COUNTS), STRICT) as base:
        page.goto(base)
        page.get_by_role("button", name="press").click()
        page.keyboard.press("Space")

        expect(page.get_by_role("button")).to_have_text("pressed 2")


def test_what_goes_wrong_in_a_page_is_seen(page: Page, problems: list[str], tmp_path: Path) -> None:
    """A file that is missing, another host, a style that the policy bars, an exception."""
    with served(write(tmp_path, "", GOES_WRONG), STRICT) as base:
        with page.expect_event("requestfailed"), page.expect_event("pageerror"):
            page.goto(base)
        page.wait_for_load_state("networkidle")

    said = "\n".join(problems)
    problems.clear()
    assert "404" in said
    assert "asked another host: http://192.0.2.1/elsewhere" in said
    assert "content security policy: style-src-attr forbids inline" in said
    assert "thrown" in said


def test_axe_finds_what_shuts_people_out(
    page: Page, serious_violations: Callable[[Page], list[str]], tmp_path: Path
) -> None:
    """A button without a name is one; with a name the page is clean."""
    write(tmp_path, "<button></button>", "")
    with served(tmp_path, STRICT) as base:
        page.goto(base)
        nameless = serious_violations(page)
        page.evaluate("document.querySelector('button').textContent = 'press'")

        assert ["button-name: Buttons must have discernible text: button"] == nameless
        assert [] == serious_violations(page)
