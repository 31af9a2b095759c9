"""Tests for service.web.image_files and picture_cache: what browsers get, and what is kept."""

import asyncio
import io
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
import tifffile
from starlette.applications import Starlette

from service.config.loader import Config
from service.ledger.jobs import Job
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.maintenance.picture_cache import PictureCache
from service.maintenance.pyramid_maker import PyramidMaker
from service.web import image_files
from service.web.app import create_app
from tests.support import delivered_results
from tests.support.iiif_files import promised, read_jpeg
from tests.support.synthetic_photos import Array, color_scene, encoded, gray_scene, png_bomb
from tests.support.web_client import WebClient, web_app
from worker.color import cielab, icc


def tiff(*pages: Array, **options: object) -> bytes:
    """Return a TIFF of these pages."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for page in pages:
            kind = "rgb" if page.ndim == 3 else "minisblack"
            writer.write(page, photometric=kind, metadata=None, **options)
    return file.getvalue()


SCAN = cv2.GaussianBlur(gray_scene(700, 900, 16), (0, 0), 2)
RESULT = cv2.GaussianBlur(color_scene(700, 900), (0, 0), 2)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make the folders of a service and its ledger."""
    return delivered_results.place_with_ledger(tmp_path)


@pytest.fixture
def client(tmp_path: Path, config: Config) -> WebClient:
    """Return a browser of its page."""
    assert config.state.is_dir()
    return WebClient(web_app(tmp_path))


def color(config: Config, name: str = "a/harbor.tif") -> Job:
    """Deliver a photograph whose scan is SCAN and whose result is RESULT."""
    return delivered_results.color(config, name, scan=tiff(SCAN), result=tiff(RESULT))


def url(job: Job, side: str = "scan", page: int = 0, key: str = "") -> str:
    """Return the URL of a picture."""
    digest = job.digest if side == "scan" else job.output_digest
    return f"/images/{job.id}/{side}/{page}/{key or str(digest)[:16]}"


def kept(config: Config) -> list[str]:
    """Return what is in the cache, hidden things too."""
    folder = config.state / "web-cache"
    return sorted(str(path.relative_to(folder)) for path in folder.glob("*/*/*"))


def test_scan_and_result_are_served_as_pyramids(config: Config, client: WebClient) -> None:
    """All that info.json promises is there, shows the picture, and may be kept for ever."""
    job = color(config)
    for side, truth in (("scan", cielab.to_8_bit(SCAN)), ("colored", RESULT)):
        answer = client.get(f"{url(job, side)}/info.json")
        info = answer.json()
        assert "private, max-age=31536000, immutable" == answer.headers["cache-control"]
        assert url(job, side) == info["id"]
        for path in promised(info):
            tile = client.get(f"{info['id']}/{path}")
            assert (200, "image/jpeg") == (tile.status_code, tile.headers["content-type"])
            assert "immutable" in tile.headers["cache-control"]
        whole = read_jpeg(client.get(f"{url(job, side)}/fit.jpg").content)
        assert abs(whole.astype(float) - truth).mean() < 2
    assert 2 == len(kept(config))


@pytest.mark.parametrize(("name", "size"), [("", (187, 240)), ("-480", (373, 480))])
def test_a_thumbnail_alone_makes_no_pyramid(
    config: Config, client: WebClient, name: str, size: tuple[int, int]
) -> None:
    """A gallery of thumbnails costs no tiles; dense screens get larger ones."""
    job = color(config)

    answer = client.get(f"{url(job, 'colored')}/thumbnail{name}.jpg")

    small = read_jpeg(answer.content)
    assert size == small.shape[:2]
    assert abs(small.astype(float) - cv2.resize(RESULT, size[::-1])).mean() < 4
    digest = str(job.output_digest)
    assert [f"thumbnails/{digest[:2]}/{digest}-0-{size[1]}.jpg"] == kept(config)


def test_each_page_has_its_own_pictures(config: Config, client: WebClient) -> None:
    """The second page of a TIFF is the second page; a third is 404 in words."""
    pages = tiff(SCAN[:300], 65535 - SCAN[:200])
    job = delivered_results.color(config, "album.tif", scan=pages, result=pages)

    shown = read_jpeg(client.get(f"{url(job, page=1)}/fit.jpg").content)
    third = client.get(f"{url(job, page=2)}/info.json", html=False)

    assert abs(shown.astype(float) - (255 - cielab.to_8_bit(SCAN[:200]))).mean() < 2
    assert 404 == third.status_code
    assert "the file has 2 pages" in third.json()["error"]


def test_a_rejected_scan_is_shown_too(config: Config, client: WebClient) -> None:
    """People see what was refused, wherever it lies; what is no image is 422 in words."""
    job = delivered_results.reject(config, "b/tram.png", encoded("PNG", gray_scene(60, 80)))
    bad = delivered_results.reject(config, "b/broken.png", b"\x89PNG\r\n\x1a\n and no more")

    shown = client.get(f"{url(job)}/thumbnail.jpg")
    broken = [client.get(f"{url(bad)}/thumbnail.jpg", html=False) for _ in range(2)]

    assert (60, 80) == read_jpeg(shown.content).shape
    assert {422} == {answer.status_code for answer in broken}
    assert "cannot be decoded" in broken[0].json()["error"]
    assert broken[0].json() == broken[1].json()


def test_names_of_any_bytes_are_served(config: Config, client: WebClient) -> None:
    """Paths come from the ledger, so a name's letters do not matter, in errors neither."""
    for name in ("a b.tif", "50%25#1?.tif", os.fsdecode(b"d/\xff\xe9.tif"), "照片.tif"):
        job = color(config, name)
        assert 200 == client.get(f"{url(job, 'colored')}/thumbnail.jpg").status_code
        (config.outbox / job.output).unlink()
        gone = client.get(f"{url(job, 'colored')}/info.json", html=False)
        assert 404 == gone.status_code
        assert "is gone" in gone.json()["error"]


def test_only_the_recorded_file_is_shown(config: Config, client: WebClient) -> None:
    """A changed result, a symlink in its place and another key are 404."""
    job = color(config)
    result = config.outbox / job.output
    result.write_bytes(tiff(RESULT[::-1]))
    changed = client.get(f"{url(job, 'colored')}/info.json", html=False)
    result.unlink()
    result.symlink_to(config.originals.folder / job.path)
    linked = client.get(f"{url(job, 'colored')}/info.json", html=False)
    other = client.get(f"{url(job, key='0' * 16)}/info.json", html=False)

    assert [404] * 3 == [answer.status_code for answer in (changed, linked, other)]
    assert "SHA-256 differs" in changed.json()["error"]
    assert [] == kept(config)


@pytest.mark.parametrize(
    "path",
    [
        "info.json/x",
        "full/240,187/90/default.jpg",
        "full/240,187/0/default.png",
        "full/241,187/0/default.jpg",
        "../../ledger.sqlite3",
        "%2e%2e/%2e%2e/%2e%2e/ledger.sqlite3",
        "full/٢٤٠,187/0/default.jpg",
        "0,0,512,512/512,512/0/default.jpg%00",
        "",
    ],
)
def test_there_is_nothing_else(config: Config, client: WebClient, path: str) -> None:
    """Whatever is no file of a pyramid is 404."""
    job = color(config)
    assert 200 == client.get(f"{url(job)}/info.json").status_code

    assert 404 == client.get(f"{url(job)}/{path}").status_code


@pytest.mark.parametrize(
    "path",
    [
        "/images/1/scan/0/{key}/",
        "/images/99/scan/0/{key}/info.json",
        "/images/99999999999999999999/scan/0/{key}/info.json",
        "/images/1/other/0/{key}/info.json",
        "/images/1/scan/99999999999999999999/{key}/info.json",
        "/images/1/scan/-1/{key}/info.json",
    ],
)
def test_other_addresses_are_not_found(config: Config, client: WebClient, path: str) -> None:
    """Numbers of any size end in 404."""
    job = color(config)
    assert 1 == job.id

    assert 404 == client.get(path.format(key=job.digest[:16])).status_code


def test_a_bomb_is_refused_in_words(config: Config, client: WebClient) -> None:
    """What exceeds limits.megapixels is not decoded."""
    job = delivered_results.reject(config, "bomb.png", png_bomb(60_000, 60_000))

    answer = client.get(f"{url(job)}/info.json", html=False)

    assert 422 == answer.status_code
    assert "megapixels" in answer.json()["error"]


def ask_at_once(app: Starlette, paths: list[str]) -> list[httpx.Response]:
    """Send requests together, as a browser does, to a server that starts and stops."""

    async def asked() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        base = "http://127.0.0.1"
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url=base, timeout=120) as client,
        ):
            return await asyncio.gather(*map(client.get, paths))

    return asyncio.run(asked())


def test_a_picture_is_made_once_for_all_who_ask(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty requests for one picture make it once, and never more than two are in the making."""
    made: list[str] = []
    at_once: list[int] = []
    original = PyramidMaker._asked

    def counting(self: PyramidMaker, request: bytes, file: Sequence[io.FileIO]) -> bytes:
        made.append(json.loads(request)[0]["name"])
        at_once.append(1)
        try:
            assert len(at_once) <= image_files.MAKERS
            return original(self, request, file)
        finally:
            at_once.pop()

    monkeypatch.setattr(PyramidMaker, "_asked", counting)
    jobs = [color(config, f"{number}.tif") for number in range(4)]
    paths = [f"{url(job, 'colored')}/fit.jpg" for job in jobs for _ in range(5)]

    answers = ask_at_once(create_app(config), paths)

    assert {200} == {answer.status_code for answer in answers}
    assert 1 == len(made)  # all four results have the same content


def test_too_many_at_once_are_asked_to_come_again(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last resort is 503 with Retry-After, and those before it are served."""
    monkeypatch.setattr(image_files, "MOST_WAITING", 3)
    page = gray_scene(60, 80)
    jobs = [delivered_results.color(config, f"{n}.tif", scan=tiff(page + n)) for n in range(6)]

    answers = ask_at_once(create_app(config), [f"{url(job)}/thumbnail.jpg" for job in jobs])

    codes = [answer.status_code for answer in answers]
    assert {200, 503} == set(codes)
    assert codes.count(200) >= 3
    assert {"5"} == {one.headers["retry-after"] for one in answers if one.status_code == 503}


def test_a_tile_that_a_power_cut_left_empty_is_made_again(
    config: Config, client: WebClient
) -> None:
    """So is all that lies beside it."""
    job = color(config)
    first = client.get(f"{url(job)}/fit.jpg").content
    (tile,) = (config.state / "web-cache").glob("pyramids/*/*/full/max/0/default.jpg")
    os.truncate(tile, 0)

    assert first == client.get(f"{url(job)}/fit.jpg").content


class TestCache:
    """What the cache keeps and what it drops."""

    @staticmethod
    def fill(cache: PictureCache, number: int, *, age: float = 0.0) -> Path:
        """Put a pyramid of 100 KB into a cache, last used some seconds ago."""
        path = cache.pyramid(f"{number:064x}", 0)
        cache.make_room(path)
        (path / "full").mkdir(parents=True)
        (path / "full" / "a.jpg").write_bytes(bytes(50 << 10))
        (path / "info.json").write_bytes(bytes(50 << 10))
        os.utime(path, (time.time() - age, time.time() - age))
        return path

    def test_what_was_used_longest_ago_goes_first(self, tmp_path: Path) -> None:
        """Over the limit, down to nine tenths of it."""
        cache = PictureCache(tmp_path / "cache", 1 << 20)
        paths = [self.fill(cache, number, age=10_000 - number) for number in range(15)]
        assert cache.has(paths[0])  # which counts as a use

        cache.empty()

        assert paths[0].is_dir()
        left = [path for path in paths if path.is_dir()]
        assert [paths[0], *paths[-7:]] == left
        assert not list(tmp_path.rglob(".*"))

    def test_making_many_makes_room(self, tmp_path: Path) -> None:
        """The limit holds while pictures are made, within a tenth."""
        cache = PictureCache(tmp_path / "cache", 1 << 20)
        for number in range(40):
            self.fill(cache, number, age=1000 - number)
            cache.added(100 << 10)
            assert len(list(tmp_path.rglob("info.json"))) <= 12

    def test_what_another_server_is_making_stays(self, tmp_path: Path) -> None:
        """Only hidden things that are too old to be in the making are removed."""
        cache = PictureCache(tmp_path / "cache", 1 << 20)
        folder = self.fill(cache, 1).parent
        for name, age in ((".photochrom-1-a.part", 10_000), (".photochrom-2-b.part", 5)):
            (folder / name).mkdir()
            (folder / name / "x").write_bytes(b"x")
            os.utime(folder / name, (time.time() - age, time.time() - age))
        (folder / ".photochrom-3-c.part").write_bytes(b"x")
        os.utime(folder / ".photochrom-3-c.part", (1, 1))

        cache.empty()

        assert [".photochrom-2-b.part", f"{1:064x}-0"] == sorted(
            path.name for path in folder.iterdir()
        )

    def test_a_cache_may_be_removed_at_any_time(self, config: Config, client: WebClient) -> None:
        """Whoever needs the space may delete the folder; it comes again."""
        job = color(config)
        first = client.get(f"{url(job)}/fit.jpg").content
        for path in sorted((config.state / "web-cache").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

        assert first == client.get(f"{url(job)}/fit.jpg").content


def test_a_result_in_adobe_rgb_is_shown_in_its_colors(config: Config, client: WebClient) -> None:
    """The picture is sRGB, as every browser takes it."""
    red = np.full((60, 80, 3), (150, 40, 40), np.uint8)
    result = tiff(red, iccprofile=icc.output_profile(cielab.ADOBE_RGB))
    job = delivered_results.color(config, "a.tif", scan=tiff(SCAN), result=result)

    shown = read_jpeg(client.get(f"{url(job, 'colored')}/fit.jpg").content)

    light = cielab.ADOBE_RGB.linear(red[0, 0] / 255) @ cielab.ADOBE_RGB.xyz_from_rgb.T
    srgb = cielab.SRGB.encoded(np.clip(light @ np.linalg.inv(cielab.SRGB.xyz_from_rgb).T, 0, 1))
    assert abs(shown.mean(axis=(0, 1)) - srgb * 255).max() < 3


def test_a_recolored_photograph_has_a_new_address(config: Config, client: WebClient) -> None:
    """The old key is 404, so that no browser shows yesterday's colors as today's."""
    job = color(config)
    assert 200 == client.get(f"{url(job, 'colored')}/fit.jpg").status_code
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.recolor([job.id], 2.0)
        (again,) = ledger.claim(1, 3.0, in_flight=0)
        done = delivered_results.finish(config, ledger, again, result=tiff(RESULT[::-1]))

    assert 404 == client.get(f"{url(job, 'colored')}/fit.jpg").status_code
    shown = read_jpeg(client.get(f"{url(done, 'colored')}/fit.jpg").content)
    assert abs(shown.astype(float) - RESULT[::-1]).mean() < 2
