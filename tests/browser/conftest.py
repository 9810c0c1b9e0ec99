"""A real headless browser: the system's Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from playwright.async_api import Browser, Page, async_playwright

from api.app import create_app
from api.server import serving
from ledger.bootstrap import Ledger, open_ledger
from ledger.settings import load_settings
from projections.projector import Projector
from projections.shipped import SHIPPED
from tests.integration.given import running

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Site:
    """A ledger, its projector at work, and the address of its dashboard."""

    ledger: Ledger
    url: str


@pytest.fixture
async def site(database_url: str) -> AsyncIterator[Site]:
    """Serve the dashboard of a ledger that encrypts payloads, and sends webhooks to this machine."""
    settings = load_settings(
        database_url=database_url, port=0, poll_interval_seconds=0.1, payload_secret="s" * 40,
        webhook_allow_private=True,
    )  # fmt: skip
    async with (
        open_ledger(settings) as ledger,
        running(Projector(ledger, SHIPPED).run()),
        serving(create_app(ledger), settings) as port,
    ):
        await Projector(ledger, SHIPPED).run_once()
        yield Site(ledger, f"http://127.0.0.1:{port}/ui")


def _chromium() -> str:
    found = os.environ.get("LEDGER_TEST_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        message = "no Chromium: install the package chromium, or set LEDGER_TEST_CHROMIUM"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Start a browser for one test, and end it."""
    executable = _chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=list(_ARGUMENTS))
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """Open a page on which no script may fail, and nothing may be loaded that our policy forbids."""
    page = await browser.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type in {"error", "warning"} else None)
    yield page
    assert complaints == []
