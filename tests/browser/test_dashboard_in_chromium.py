"""The dashboard in a real browser: it follows the log, acts, is worked with the keyboard, and is accessible."""

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from api.app import create_app
from api.dashboard.pages import PAGES
from api.guard import Access
from api.server import serving
from ledger.access.api_key import ApiKey, Scope
from ledger.access.commands import create_key, revoke_key
from ledger.payloads.orders import ErasureOrders
from ledger.settings import load_settings
from tests.browser.conftest import Site
from tests.integration.given import CLIENT, caught_up, started, submitted
from tests.integration.webhooks_given import endpoint


async def test_a_task_is_submitted_followed_and_cancelled(site: Site, page: Page) -> None:
    page.on("dialog", lambda dialog: dialog.accept())
    await page.goto(f"{site.url}/submit")

    await page.get_by_role("textbox", name="Input").fill('{"order": 7}')
    await page.get_by_label("the input is JSON").check()
    await page.get_by_label("Kind").fill("mail")
    await page.get_by_role("button", name="Submit").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("mail PENDING")
    await page.get_by_role("button", name="Cancel").click()

    await expect(page.get_by_role("heading", level=1)).to_have_text("mail CANCELLED")
    await expect(page.get_by_text("task.cancelled", exact=True)).to_be_visible()


async def test_a_list_follows_the_log(site: Site, page: Page) -> None:
    await page.goto(f"{site.url}/tasks")
    await expect(page.get_by_text("No task is like that.")).to_be_visible()

    [task_id] = await submitted(site.ledger)

    await expect(page.get_by_role("link", name=str(task_id))).to_be_visible()


async def test_the_slider_shows_the_state_after_each_event(site: Site, page: Page) -> None:
    [task_id] = await submitted(site.ledger)
    await started(site.ledger, task_id)
    await caught_up(site.ledger)
    await page.goto(f"{site.url}/tasks/{task_id}")

    await page.get_by_role("slider").fill("1")

    await expect(page.get_by_role("heading", name="State as of version 1")).to_be_visible()
    assert page.url.endswith("?version=1")


async def test_the_keyboard_finds_walks_opens_and_helps(site: Site, page: Page) -> None:
    older, newer = await submitted(site.ledger, count=2)
    await caught_up(site.ledger)
    await page.goto(f"{site.url}/tasks")

    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    for key in ("j", "j", "k", "Enter"):
        await page.keyboard.press(key)
    await page.wait_for_url(f"**/ui/tasks/{newer}")
    await page.keyboard.press("/")
    await page.keyboard.type(str(older))
    await page.keyboard.press("Enter")

    await page.wait_for_url(f"**/ui/tasks/{older}")


async def test_a_session_acts_with_its_token_until_its_key_is_revoked(site: Site, page: Page) -> None:
    key = ApiKey(name="ann", scopes=frozenset({Scope.READ, Scope.SUBMIT}))
    token = await create_key(site.ledger.database, key, actor="test")
    access = Access(site.ledger, look_seconds=0.2)
    async with serving(create_app(site.ledger, access=access), load_settings(port=0)) as port:
        await page.goto(f"http://127.0.0.1:{port}/ui/submit")
        await page.get_by_label("API key").fill(token)
        await page.get_by_role("button", name="Log in").click()
        await page.get_by_role("button", name="Submit").click()

        await expect(page.get_by_role("heading", level=1)).to_contain_text("PENDING")
        await expect(page.get_by_text("key:ann").first).to_be_visible()
        await revoke_key(site.ledger.database, "ann", actor="test")

        await expect(page.get_by_role("button", name="Log in")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_has_an_accessibility_violation(site: Site, browser: Browser, scheme: str) -> None:
    [task_id] = await submitted(site.ledger, erasable=True, tags=("customer:1",))
    await started(site.ledger, task_id)
    [erasable] = await submitted(site.ledger, erasable=True)
    await site.ledger.commands.cancel(erasable, reason="", origin=CLIENT)
    await caught_up(site.ledger)
    order = await ErasureOrders(site.ledger).begin("customer:1", reason="asked to", origin=CLIENT)
    await endpoint(site.ledger, "http://127.0.0.1:8080/hook", types=("task.failed",))
    page = await browser.new_page(color_scheme="dark" if scheme == "dark" else "light")
    violations = {}
    filled = {"{task_id}": str(task_id), "{name}": "hook", "{order_id}": str(order.order_id)}
    paths = [f"/tasks/{erasable}"]
    for entry in PAGES:
        place, _, gap = entry.path.rpartition("/")
        paths.append(f"{place}/{filled.get(gap, gap)}" if gap else entry.path)
    for path in (path for path in paths if "{" not in path):
        answer = await page.goto(site.url + path)
        await page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")
        found = await Axe().run(page)
        violations[path] = [violation["id"] for violation in found.response["violations"]]
        assert answer is not None
        assert answer.status == 200, path

    assert violations == {path: [] for path in violations}
