"""What leaves, in a real browser: webhooks with the secret that is shown once, and payloads that are erased."""

from playwright.async_api import Browser, Page, expect

from ledger.payloads.orders import ErasureChore
from ledger.webhooks.commands import Webhooks
from tests.browser.conftest import Site
from tests.integration.given import CLIENT, caught_up, fetch, submitted

URL = "https://example.org/hook"


async def test_a_webhook_is_set_its_secret_shown_once_and_deleted(site: Site, page: Page) -> None:
    page.on("dialog", lambda dialog: dialog.accept())
    await page.goto(f"{site.url}/webhooks")

    await page.get_by_label("Name").fill("crm")
    await page.get_by_label("URL").fill(URL)
    await page.get_by_label("completed", exact=True).check()
    await page.get_by_label("queue").fill("mail")
    await page.get_by_label("Starts").fill("0")
    await page.get_by_role("button", name="Set", exact=True).click()
    await expect(page.get_by_role("dialog")).to_contain_text("whsec_")
    secret = await page.locator("[data-secret]").text_content()
    for key in ("g", "1"):  # no key leads away from what is shown once
        await page.keyboard.press(key)
    await page.get_by_role("button", name="I have kept it").click()
    await page.wait_for_url(f"{site.url}/webhooks/crm")

    one = await Webhooks(site.ledger).find("crm")
    kept = await fetch(site.ledger, "SELECT secret FROM ledger.webhook_secrets")
    assert [row["secret"] for row in kept] == [secret]
    assert (one.definition.wanted.types, one.definition.wanted.queue, one.position) == (
        ["task.completed"], "mail", 0,
    )  # fmt: skip
    assert str(secret) not in await page.content()
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("crm paused")
    await page.get_by_text("Change its secret…").click()
    await page.get_by_role("button", name="Rotate").click()
    await expect(page.get_by_role("dialog")).to_contain_text("whsec_")
    await page.keyboard.press("Escape")
    await expect(page.locator("[data-secret]")).to_be_empty()
    assert "whsec_" not in await page.content()
    await page.get_by_text("Delete it…").click()
    await page.get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("No webhook is set")).to_be_visible()


async def test_a_setting_that_is_refused_is_said_and_the_form_stays(site: Site, browser: Browser) -> None:
    page = await browser.new_page()  # one on which the browser may complain of the refusal
    await page.goto(f"{site.url}/webhooks")

    await page.get_by_label("Name").fill("crm")
    await page.get_by_label("URL").fill(URL)
    await page.get_by_label("Starts").fill("7")
    await page.get_by_role("button", name="Set", exact=True).click()

    await expect(page.locator("#said")).to_contain_text("start must be")
    await expect(page.get_by_label("URL")).to_have_value(URL)


async def test_a_task_is_erased_after_a_step_that_says_what_goes(site: Site, page: Page) -> None:
    [task_id] = await submitted(site.ledger, input="Ada-Lovelace", erasable=True)
    await site.ledger.commands.cancel(task_id, reason="", origin=CLIENT)
    await caught_up(site.ledger)
    await page.goto(f"{site.url}/tasks/{task_id}")
    button = page.get_by_role("button", name="Erase it for good")

    await expect(page.get_by_text("Ada-Lovelace").first).to_be_visible()
    await page.get_by_text("Erase what it holds…").click()
    await expect(page.get_by_text("What goes, for good")).to_be_visible()
    await button.click()
    assert not (await site.ledger.commands.load(task_id)).erased
    await page.get_by_label("Why, for its history").fill("asked to be forgotten")
    await page.get_by_label("I know that this cannot be undone").check()
    await page.get_by_role("heading", level=1).click()
    async with page.expect_response(f"**/ui/tasks/{task_id}"):  # what was filled in outlasts a refresh
        await page.evaluate("document.dispatchEvent(new Event('page:refresh'))")
    await button.click()

    await expect(page.get_by_text("Erased by client at")).to_contain_text("asked to be forgotten")
    await expect(page.get_by_text("Ada-Lovelace")).to_have_count(0)
    await expect(button).to_have_count(0)


async def test_a_tag_is_counted_erased_and_followed(site: Site, page: Page) -> None:
    [task_id] = await submitted(site.ledger, erasable=True, tags=("customer:1",))
    await site.ledger.commands.cancel(task_id, reason="", origin=CLIENT)
    await page.goto(f"{site.url}/submit")
    await page.keyboard.press("g")
    await page.keyboard.press("a")
    await page.wait_for_url(f"{site.url}/archives")

    await page.get_by_text("Erase by tag…").click()
    await page.get_by_label("Tag", exact=True).fill("customer:1")
    await page.get_by_role("button", name="How many?").click()
    await expect(page.locator("#said")).to_have_text("There are 1.")
    await page.get_by_label("I know that this cannot be undone").check()
    await page.get_by_role("button", name="Erase them for good").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Erasure of customer:1 running")
    await ErasureChore(site.ledger).run_once()
    await page.wait_for_load_state()  # before it, no script hears the key
    await page.keyboard.press("r")

    await expect(page.get_by_role("heading", level=1)).to_have_text("Erasure of customer:1 done")
