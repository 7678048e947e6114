// The page of `live`: a WebSocket and a stream of events that end with the session, and who can open them.

import assert from "node:assert/strict";

import { liveScenario, openPage } from "./support/scenario.js";
import { PAGE_HOST, STRANGER, STRANGER_OF_THE_SITE } from "./support/site.js";

/** Access tokens that outlive a test: an expired one would be the reason for a refusal. */
const ROOMY = { "access-lifetime": "30s" };

/** What browsers say of the answers 401 and 403. They send no cookie from another site, from another origin of the same site they do. */
const REFUSALS = {
    [STRANGER]: /HTTP Authentication failed/,
    [STRANGER_OF_THE_SITE]: /Unexpected response code: 403/,
    [PAGE_HOST]: /Unexpected response code: 403/,
};

const press = (page, name) => page.getByRole("button", { name, exact: true }).click();

/** Waits until a tab shows both connections so. */
async function untilShown(page, state) {
    for (const id of ["socket", "events"]) await page.locator(`#${id}[data-state="${state}"]`).waitFor();
}

const open = (visitor) => openPage(visitor, visitor.site.directOrigin);

async function openLoggedIn(visitor) {
    const page = await open(visitor);
    await press(page, "Log in");
    await untilShown(page, "open");
    return page;
}

async function assertEchoed(page, text) {
    await page.getByLabel("Message").fill(text);
    await press(page, "Send");
    await page.locator("#echo", { hasText: text }).waitFor();
}

liveScenario("a logout in one tab ends what the other has open, and a login opens it again", {}, async ({ device }) => {
    const visitor = await device();
    const page = await openLoggedIn(visitor);
    const other = await open(visitor);
    await untilShown(other, "open");
    await visitor.untilExpired();
    await assertEchoed(page, "the access token has expired");
    await press(page, "Refresh");
    await assertEchoed(page, "and was refreshed");

    await press(other, "Log out");
    for (const tab of [page, other]) {
        await untilShown(tab, "ended");
        assert.equal(await tab.locator("#socket").innerText(), "ended: session ended");
    }
    await visitor.assertNoTokensLeft();
    await press(page, "Log in");
    await untilShown(page, "open");
    assert.deepEqual([...page.problems, ...other.problems], []);
});

liveScenario("a logout everywhere ends what other devices have open", ROOMY, async ({ device }) => {
    const [page, elsewhere] = [await openLoggedIn(await device()), await openLoggedIn(await device())];
    await press(page, "Log out everywhere");
    await untilShown(elsewhere, "ended");
    assert.deepEqual([...page.problems, ...elsewhere.problems], []);
});

liveScenario("a server that is interrupted says so to whoever is connected, and stops", ROOMY, async ({ site, device }) => {
    const page = await openLoggedIn(await device());
    await site.end("SIGINT");
    for (const id of ["socket", "events"]) await page.locator(`#${id}`, { hasText: "closed: server stops" }).waitFor();
    assert.equal(site.server.exitCode, 0);
    assert.deepEqual(page.problems, []);
});

liveScenario("a page of another origin opens no socket in the visitor's name", ROOMY, async ({ site, device }) => {
    const visitor = await device();
    const page = await openLoggedIn(visitor);
    for (const [host, refusal] of Object.entries(REFUSALS)) {
        const stranger = await visitor.visit(host);
        const said = stranger.waitForEvent("console", (message) => message.text().includes("WebSocket"));
        const event = await stranger.evaluate(
            (url) =>
                new Promise((resolve) => {
                    const socket = new WebSocket(url);
                    socket.onopen = socket.onclose = ({ type }) => resolve(type);
                }),
            `${site.directOrigin.replace("http", "ws")}/ws`,
        );
        assert.equal(event, "close", host);
        assert.match((await said).text(), refusal, host);
    }
    await assertEchoed(page, "the own page goes on");
    assert.deepEqual(page.problems, []);
});
