// Pages that are rendered on the server, with and without JavaScript.

import assert from "node:assert/strict";

import { lostAnswer } from "./support/proxy.js";
import { formsScenario } from "./support/scenario.js";

const NO_JAVASCRIPT = { javaScriptEnabled: false };
/** Access tokens that outlive a test: without JavaScript, none can be renewed. */
const ROOMY = { "access-lifetime": "30s" };

const REFRESH = "POST /session/refresh";

/** Opens a page in a new tab, and logs in where that is asked for. */
async function openLoggedIn(visitor, path = "/") {
    const page = await visitor.context.newPage();
    await page.goto(visitor.site.origin + path);
    await page.getByRole("button", { name: "Log in" }).click();
    await assertAt(page, path);
    return page;
}

/** Waits until the browser has arrived at a page. */
const assertAt = (page, path) => page.waitForURL(({ pathname, search }) => pathname + search === path);

const notes = (page) => page.getByRole("listitem").allInnerTexts();

const heading = (page) => page.getByRole("heading").innerText();

async function save(page, note) {
    await page.getByLabel("A new note").fill(note);
    await page.getByRole("button", { name: "Save" }).click();
}

formsScenario("without JavaScript, a visitor logs in, takes notes and logs out", ROOMY, async ({ device }) => {
    const visitor = await device(NO_JAVASCRIPT);
    const page = await openLoggedIn(visitor, "/");
    assert.equal(await heading(page), "The notes of alice");
    await save(page, "buy milk & <b>bread</b>");
    await assertAt(page, "/");
    assert.deepEqual(await notes(page), ["buy milk & <b>bread</b>"]);
    await page.getByRole("button", { name: "Log out" }).click();
    await assertAt(page, "/login");
    await visitor.assertNoTokensLeft();
    await page.goto(visitor.site.origin);
    await assertAt(page, "/login?to=%2F");
});

formsScenario("a wrong password is said to be wrong, and the page asked for is not forgotten", {}, async ({ device }) => {
    const visitor = await device(NO_JAVASCRIPT);
    const page = await visitor.context.newPage();
    await page.goto(`${visitor.site.origin}/logout?why=1`);
    await page.getByLabel("Password").fill("wrong");
    await page.getByRole("button", { name: "Log in" }).click();
    assert.equal(await page.getByRole("alert").innerText(), "Wrong user or password.");
    await visitor.assertNoTokensLeft();
    await page.getByRole("button", { name: "Log in" }).click();
    await assertAt(page, "/logout?why=1");
});

formsScenario("a page opened with an expired token renews it and shows", {}, async ({ site, device }) => {
    const visitor = await device();
    const page = await openLoggedIn(visitor, "/");
    for (let round = 0; round < 2; round++) {
        await visitor.untilExpired();
        await page.goto(`${site.origin}/logout?from=${round}&to=//evil.example`);
        await assertAt(page, `/logout?from=${round}&to=//evil.example`);
        assert.equal(await heading(page), "Log out?");
        assert.equal(site.proxy.count(REFRESH), round + 1);
    }
    await page.goBack();
    await assertAt(page, "/logout?from=0&to=//evil.example");
});

/** Access tokens that, once renewed, outlive the next click, the browser being as slow as it may. */
const UNHURRIED = { "access-lifetime": "8s" };

formsScenario("a note that is sent with an expired token is not saved, and the visitor is told so", UNHURRIED, async ({
    device,
}) => {
    const visitor = await device();
    const page = await openLoggedIn(visitor);
    await visitor.untilExpired();
    await save(page, "too late");
    await assertAt(page, "/?unsaved=1");
    assert.match(await page.getByRole("alert").innerText(), /was not saved/);
    assert.deepEqual(await notes(page), []);
    await save(page, "in time");
    await assertAt(page, "/");
    assert.deepEqual(await notes(page), ["in time"]);
});

formsScenario("a logout with an expired token asks again, and logs out", UNHURRIED, async ({ device }) => {
    const visitor = await device();
    const page = await openLoggedIn(visitor);
    await visitor.untilExpired();
    await page.getByRole("button", { name: "Log out" }).click();
    await assertAt(page, "/logout");
    await page.getByRole("button", { name: "Log out" }).click();
    await assertAt(page, "/login");
    await visitor.assertNoTokensLeft();
});

formsScenario("without JavaScript, an expired token leads to a login, and back", {}, async ({ site, device }) => {
    const visitor = await device(NO_JAVASCRIPT);
    const page = await openLoggedIn(visitor);
    await visitor.untilExpired();
    await page.goto(`${site.origin}/logout`);
    await assertAt(page, "/session/renew?to=%2Flogout");
    await page.getByRole("link", { name: "log in again" }).click();
    await assertAt(page, "/login?to=%2Flogout");
    await page.getByRole("button", { name: "Log in" }).click();
    await assertAt(page, "/logout");
    assert.equal(site.proxy.count(REFRESH), 0);
});

formsScenario("a renewal whose answer is lost is tried again, and the page shows", {}, async ({ site, device }) => {
    const visitor = await device();
    const page = await openLoggedIn(visitor);
    await visitor.untilExpired();
    site.proxy.next(REFRESH, lostAnswer);
    await page.goto(`${site.origin}/logout`);
    await page.getByRole("link", { name: "Try again" }).click();
    await assertAt(page, "/logout");
});

formsScenario("a session that is over leads to the login, and from there to the page asked for", {}, async ({ site, device }) => {
    const visitor = await device();
    const page = await openLoggedIn(visitor);
    await visitor.context.clearCookies({ name: "sRefreshToken" });
    await visitor.untilExpired();
    await page.goto(`${site.origin}/logout`);
    await assertAt(page, "/login?to=%2Flogout");
    await page.getByRole("button", { name: "Log in" }).click();
    await assertAt(page, "/logout");
});
