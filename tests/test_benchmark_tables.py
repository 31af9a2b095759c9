"""Tables of benchmarks: what is printed, and what of docs/benchmarks.md is replaced."""

import ast
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks import processor
from tests.benchmarks.tables import PAGE, WIDTH, Report, options, with_block

ABLATIONS_PAGE = PAGE.with_name("training.md")
BENCHMARKS = sorted(PAGE.parents[1].glob("tests/benchmarks/*.py"))
COLUMNS = {"what": "", "s": ".2f", "photographs": ","}
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=80).filter(
    lambda text: "<!-- " not in text
)


def page_with(folder: Path, *blocks: str) -> Path:
    """Write a page of people's words with blocks between them."""
    page = folder / "page.md"
    parts = [f"About {one}.\n\n<!-- {one}: begin -->\nold\n<!-- {one}: end -->\n" for one in blocks]
    page.write_text("# Figures\n\n" + "\nWords.\n\n".join(parts) + "\nThe end.\n")
    return page


def fill(report: Report) -> None:
    """Begin the table "speed" and add two rows."""
    report.begin("speed", COLUMNS)
    report.add("one", 0.126, 12_000)
    report.add("other", 2, None)


def test_a_table_is_printed_as_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    """Its heading, its line and its rows, each cell in its column's format."""
    with Report("speed") as report:
        fill(report)

    assert capsys.readouterr().out.split("\n\n")[0].splitlines() == [
        "| what | s | photographs |",
        "|---|---|---|",
        "| one | 0.13 | 12,000 |",
        "| other | 2.00 | - |",
    ]


def test_the_conditions_stand_below(capsys: pytest.CaptureFixture[str]) -> None:
    """Processor, cores, versions, load and command, in lines that the page may have."""
    with Report("speed", packages=("keras",)) as report:
        fill(report)

    conditions = capsys.readouterr().out.split("\n\n")[-1]
    told = " ".join(conditions.split())
    assert re.match(r"\d\d? [A-Z][a-z]+ 20\d\d, ", told)
    assert f", {os.cpu_count()} cores, Python {sys.version.split()[0]}, Keras " in told
    assert re.search(r"; load \d+\.\d at the start, other programs on \d+\.\d\d cores", told)
    assert re.search(r": `python .*`$", told)
    assert all(len(line) <= WIDTH for line in conditions.splitlines() if " " in line)


def test_a_row_has_as_many_cells_as_the_table_has_columns() -> None:
    """A cell too many or too few is an error, not a crooked table."""
    report = Report("speed")
    report.begin("speed", COLUMNS)

    for cells in (("one", 0.1), ("one", 0.1, 2, 3)):
        with pytest.raises(ValueError, match="zip"):
            report.add(*cells)


def test_written_tables_take_the_place_of_their_blocks(tmp_path: Path) -> None:
    """Two tables of one run, each in its block; a third block and all words stay."""
    page = page_with(tmp_path, "speed", "memory", "speed of others")

    with Report("speed", "memory", write=True, page=page) as report:
        fill(report)
        report.begin("memory", {"MB": ".0f"})
        report.add(12.4)

    text = page.read_text()
    assert "<!-- speed: begin -->\n\n| what | s | photographs |\n|---|---|---|\n| one |" in text
    assert "<!-- memory: begin -->\n\n| MB |\n|---|\n| 12 |\n\n" in text
    assert 2 == text.count("at the start")
    assert 1 == text.count("\nold\n")
    blank = re.compile(r"(<!-- (?:speed|memory): begin -->\n).*?(<!-- \w+: end -->)", re.DOTALL)
    assert (
        blank.sub(r"\1old\n\2", text)
        == page_with(tmp_path, "speed", "memory", "speed of others").read_text()
    )


def test_nothing_is_written_without_the_option(tmp_path: Path) -> None:
    """The page stays as it is, and need not have the block."""
    page = page_with(tmp_path, "speed")
    before = page.read_text()

    with Report("speed", "no such", page=page) as report:
        fill(report)

    assert before == page.read_text()


def test_nothing_is_written_of_a_run_that_failed(tmp_path: Path) -> None:
    """Half a table never takes the place of a whole one."""
    page = page_with(tmp_path, "speed")
    before = page.read_text()

    def break_off() -> None:
        with Report("speed", write=True, page=page) as report:
            fill(report)
            raise RuntimeError("broke")

    with pytest.raises(RuntimeError, match="broke"):
        break_off()

    assert before == page.read_text()


@pytest.mark.parametrize(
    "text",
    [
        "no block\n",
        "<!-- speed: begin -->\n",
        "<!-- speed: end -->\n<!-- speed: begin -->\n",
        2 * "<!-- speed: begin -->\n<!-- speed: end -->\n",
        "<!-- speed of others: begin -->\n<!-- speed of others: end -->\n",
    ],
)
def test_a_page_without_the_block_ends_the_run_before_it_begins(tmp_path: Path, text: str) -> None:
    """The error names the page and the lines that it needs."""
    page = tmp_path / "page.md"
    page.write_text(text)

    with pytest.raises(SystemExit) as error:
        Report("speed", write=True, page=page)

    assert str(page) in str(error.value)
    assert "<!-- speed: begin -->" in str(error.value)
    assert text == page.read_text()


@given(before=WORDS, old=WORDS, after=WORDS, content=WORDS)
def test_only_a_block_is_replaced(before: str, old: str, after: str, content: str) -> None:
    """Whatever stands before, in and after it; and replacing it again changes nothing."""
    with TemporaryDirectory() as name:
        page = Path(name) / "page.md"
        begin, end = "<!-- speed: begin -->\n", "<!-- speed: end -->\n"
        page.write_text(f"{before}{begin}{old}{end}{after}", newline="")
        page.write_text(with_block(page, "speed", content), newline="")
        first = page.read_text()

        assert f"{before}{begin}\n{content}\n\n{end}{after}" == first
        assert first == with_block(page, "speed", content)


def test_every_table_of_a_benchmark_has_its_block_in_the_page() -> None:
    """So `--write` finds a place for each of them; those of ablations are in docs/training.md."""
    blocks = {
        (word.value, ABLATIONS_PAGE if path.stem.endswith("ablation") else PAGE)
        for path in BENCHMARKS
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "begin"
        for word in call.args[:1]
        if isinstance(word, ast.Constant)
    }

    assert len(blocks) >= 10
    for block, page in blocks:
        with_block(page, block, "")


def test_every_benchmark_tells_its_figures_in_one_way() -> None:
    """It makes a report, and prints no table of its own."""
    for path in BENCHMARKS:
        if path.stem not in {"tables", "processor"}:
            text = path.read_text()
            assert "options(__doc__)" in text, path.stem
            assert '"|' not in text, path.stem


def test_the_option_is_there_for_all() -> None:
    """`--write` is off unless it is asked for."""
    parser = options("what is measured")

    assert parser.parse_args([]).write is False
    assert parser.parse_args(["--write"]).write is True


def test_the_machine_is_at_least_as_busy_as_this_process() -> None:
    """What is told of the machine includes what this process did, to a tick of each core."""
    machine, own = processor.seconds_of_machine(), processor.seconds_of_own()
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass

    used = processor.seconds_of_own() - own
    assert used >= 0.3
    assert processor.seconds_of_machine() - machine >= used - 0.01 * (2 + 2 * (os.cpu_count() or 1))


def test_a_child_is_counted_where_it_stands() -> None:
    """While it runs under its number, and once it has ended with those that have."""
    work = "while __import__('time').process_time() < 0.2: pass\nprint(flush=True); input()"
    command = [sys.executable, "-c", work]
    ended = processor.seconds_of_ended()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin
        assert child.stdout
        child.stdout.readline()
        running = processor.running_children()
        used = processor.seconds_of(child.pid)
        child.stdin.write(b"\n")
        child.stdin.close()

    assert child.pid in running
    assert used >= 0.18
    assert processor.seconds_of_ended() - ended >= used - 0.02
