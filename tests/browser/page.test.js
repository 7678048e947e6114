// The page of home_feed: what its buttons do, and who can use it.

import assert from "node:assert/strict";

import { graces, openPage, scenario } from "./support/scenario.js";

/** Access tokens that outlive what a test does with them. */
const ROOMY = { "access-lifetime": "30s" };

const open = (visitor) => openPage(visitor, `${visitor.site.origin}/`);

async function openLoggedIn(visitor) {
    const page = await open(visitor);
    await press(page, "Log in");
    await page.getByText("Logged in as alice").waitFor();
    return page;
}

const press = (page, name) => page.getByRole("button", { name, exact: true }).click();

/** Waits until the page says so, below its buttons. */
const answered = (page, text) => page.locator("#answer", { hasText: text }).waitFor();

const count = (page, selector) => page.locator(selector).count();

scenario("a theft is played, and drawn", ROOMY, async ({ device }) => {
    const visitor = await device();
    const page = await openLoggedIn(visitor);
    await press(page, "Steal the refresh token");
    await graces(2);
    await press(page, "Refresh now");
    await answered(page, "Refreshed.");
    await press(page, "Call the feed");
    await answered(page, "The feed:");
    await graces(4);
    await press(page, "Thief: refresh");
    await answered(page, "The thief was answered 401: token theft.");
    await page.locator("#verdict .theft").waitFor();
    assert.equal(await count(page, "#timeline .decision.theft"), 1);
    assert.ok((await count(page, "#timeline .token.thief")) > 0);
    await press(page, "Call the feed");
    await answered(page, "401: unauthorised");
    await page.getByRole("button", { name: "Log in", exact: true }).waitFor();
    await visitor.assertNoTokensLeft();
    assert.deepEqual(page.problems, []);
});

scenario("a bound client's thief is worth nothing, and the owner goes on", ROOMY, async ({ device }) => {
    const visitor = await device();
    const page = await openLoggedIn(visitor);
    await page.getByLabel("Bind this client").check();
    await graces(2);
    await press(page, "Refresh now");
    await answered(page, "Refreshed.");
    await press(page, "Steal the refresh token");
    await press(page, "Thief: refresh");
    await answered(page, "The thief was answered 409: nonce required.");
    await graces(4);
    await press(page, "Refresh now");
    await answered(page, "Refreshed.");
    await press(page, "Call the feed");
    await answered(page, "The feed:");
    assert.equal(await count(page, "#timeline .decision.theft"), 0);
    assert.deepEqual(page.problems, []);
});

scenario("an answer is lost, drawn, and asked for again", ROOMY, async ({ device }) => {
    const page = await openLoggedIn(await device());
    await graces(2);
    await press(page, "Lose the next refresh answer");
    await answered(page, "will get lost");
    await press(page, "Refresh now");
    await answered(page, "504");
    await page.locator("#timeline .token.lost").waitFor();
    await graces(4);
    await press(page, "Refresh now");
    await answered(page, "Refreshed.");
    assert.equal(await count(page, "#timeline .request.lost"), 1);
    await press(page, "Call the feed");
    await answered(page, "The feed:");
    assert.deepEqual(page.problems, []);
});

scenario("devices are listed, and logged out one by one or all at once", ROOMY, async ({ device }) => {
    const [visitor, other] = [await device(), await device()];
    const [page, elsewhere] = [await openLoggedIn(visitor), await openLoggedIn(other)];
    const devices = page.locator("#devices li");
    await devices.nth(1).waitFor();
    await press(page, "Log in on a phone");
    await devices.nth(2).waitFor();
    await page.getByRole("button", { name: /^Log out Phone/ }).click();
    await page.locator("#devices").getByText("Phone").waitFor({ state: "detached" });
    assert.equal(await devices.count(), 2);
    await press(page, "Log out all others");
    await devices.nth(1).waitFor({ state: "detached" });
    await press(elsewhere, "Call the feed");
    await answered(elsewhere, "401: unauthorised");
    assert.deepEqual([...page.problems, ...elsewhere.problems], []);
});

scenario("a token that expires is refreshed by the next call, in every tab", { "access-lifetime": "4s" }, async ({ site, device }) => {
    const visitor = await device();
    const page = await openLoggedIn(visitor);
    const [second] = await Promise.all([visitor.context.waitForEvent("page"), press(page, "Open a second tab")]);
    await second.getByText("Logged in as alice").waitFor();
    for (const tab of [page, second]) {
        await visitor.untilExpired();
        await press(tab, "Call the feed");
        await answered(tab, "The feed:");
    }
    assert.equal(site.proxy.last("POST /refresh").status, 200);
    assert.deepEqual(page.problems, []);
});

scenario("a page whose token expires while it loads shows the session all the same", ROOMY, async ({ device }) => {
    const visitor = await device();
    const page = await openLoggedIn(visitor);
    await visitor.context.route("**/events", (route) => route.fulfill({ status: 401 }), { times: 1 });
    await page.reload();
    await page.getByText("Logged in as alice").waitFor();
    assert.deepEqual(page.problems, []);
});

scenario("the page fits a phone", ROOMY, async ({ device }) => {
    const page = await openLoggedIn(await device({ viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true }));
    await press(page, "Steal the refresh token");
    await graces(2);
    for (const name of ["Refresh now", "Log in on a phone", "Thief: refresh", "Call the feed"]) await press(page, name);
    await page.locator("#devices li").nth(1).waitFor();
    for (const summary of await page.locator("summary").all()) await summary.click();
    const { wide, view } = await page.evaluate(() => ({
        wide: document.documentElement.scrollWidth,
        view: window.innerWidth,
    }));
    assert.deepEqual({ wide, view }, { wide: 360, view: 360 });
    assert.deepEqual(page.problems, []);
});

scenario("the keyboard reaches every control, and works it", ROOMY, async ({ device }) => {
    const visitor = await device();
    const page = await open(visitor);
    await page.getByLabel("Password").focus();
    await page.keyboard.press("Enter");
    await page.getByText("Logged in as alice").waitFor();
    await press(page, "Steal the refresh token");
    await press(page, "Log in on a phone");
    await page.locator("#devices li").nth(1).waitFor();
    await page.locator("#thief-refresh:enabled").waitFor();

    const controls = await page.evaluate(() => {
        const all = [...document.querySelectorAll("button, input, select, summary, [tabindex='0']")];
        window.controls = all.filter((control) => control.checkVisibility() && !control.disabled);
        return window.controls.map((control) => control.id || control.textContent.trim());
    });
    assert.ok(controls.length > 12, controls.join());
    await page.evaluate(() => document.activeElement.blur());
    const reached = new Set();
    for (let presses = 0; presses < 2 * controls.length; presses++) {
        await page.keyboard.press("Tab");
        reached.add(await page.evaluate(() => window.controls.indexOf(document.activeElement)));
    }
    assert.deepEqual(controls.filter((_, number) => !reached.has(number)), []);

    await page.locator("#call").focus();
    await page.keyboard.press("Enter");
    await answered(page, "The feed:");
    assert.deepEqual(page.problems, []);
});

scenario("without JavaScript the page says what works", {}, async ({ device }) => {
    const page = await open(await device({ javaScriptEnabled: false }));
    assert.match(await page.locator("noscript p").innerText(), /needs JavaScript; the curl lines .* do not/);
    assert.equal(await page.locator("form").isVisible(), false, "it could not log in");
    assert.deepEqual(page.problems, []);
});
