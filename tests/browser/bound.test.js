// Clients that send a nonce with each refresh, by the very script that the example's page has.

import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";

import { SCRIPT_COOKIES } from "./support/device.js";
import { lateUntil, lostAnswer, lostAnswerSeen, lostRequest, refreshTokenOf, seen } from "./support/proxy.js";
import { graces, scenario } from "./support/scenario.js";

/** A grace in which owner and thief meet, and access tokens that outlive the three graces between two rotations. */
const UNHURRIED = { "access-lifetime": "4s", grace: "1s" };

const NETWORK_ERROR = /Failed to fetch/;

/** Opens the application and logs in; the first exchange with a nonce has bound the session. */
async function openBound(visitor, view) {
    const tab = await visitor.open({ ...view, bound: true });
    await tab.logIn("alice");
    await visitor.untilExpired();
    await tab.assertServed("alice");
    return tab;
}

for (const [mode, from] of [["cookie", "same"], ["cookie", "another"], ["header", "another"]]) {
    scenario(`a bound client is given its lost answer long after, in ${mode} mode, from ${from} origin`, {}, async ({
        site,
        device,
    }) => {
        const visitor = await device();
        const tab = await openBound(visitor, { mode, from });
        for (let round = 0; round < 2; round++) {
            await visitor.untilExpired();
            const answers = [];
            site.proxy.next("POST /refresh", lostAnswerSeen(answers));
            await assert.rejects(tab.call("GET", "/getHomeFeed"), NETWORK_ERROR);
            await graces(5);
            site.proxy.next("POST /refresh", seen(answers));
            await tab.assertServed("alice");
            const [lost, again] = answers.map(refreshTokenOf);
            assert.ok(lost);
            assert.equal(again, lost, "the same successor");
        }
        assert.deepEqual(generations(site), [1, 2, 2, 3, 3]);
    });
}

for (const [first, mode] of [["owner", "cookie"], ["owner", "header"], ["thief", "cookie"]]) {
    scenario(`a thief with nonces of their own is found at once where the ${first} is first, in ${mode} mode`, UNHURRIED, async ({
        site,
        device,
    }) => {
        const [owners, thiefs] = [await device(), await device()];
        const owner = await openBound(owners, { mode });
        await thiefs.context.addCookies(await owners.context.cookies());
        const thief = await thiefs.open({ mode, bound: true });
        const [one, other] = first === "owner" ? [owner, thief] : [thief, owner];

        await owners.untilExpired();
        await one.assertServed("alice");
        await other.assertLoggedOut();
        assert.equal(site.proxy.last("POST /refresh").reason, "token_theft");
        await site.logged(/theft: .* \(OtherNonce\)/);
        await one.assertLoggedOut();
        await owners.assertNoTokensLeft();
        await thiefs.assertNoTokensLeft();
    });

    scenario(`a thief without nonces gets nothing where the ${first} is first, and the owner goes on, in ${mode} mode`, UNHURRIED, async ({
        site,
        device,
    }) => {
        const [owners, thiefs] = [await device(), await device()];
        const owner = await openBound(owners, { mode });
        await thiefs.context.addCookies(await owners.context.cookies());
        const thief = await thiefs.open({ mode });
        await owners.untilExpired();
        const attempt = async () => {
            assert.equal((await thief.call("GET", "/getHomeFeed")).status, 409);
            assert.equal(site.proxy.last("POST /refresh").reason, "nonce_required");
        };
        if (first === "thief") await attempt();
        await owner.assertServed("alice");
        await attempt();
        await owners.untilExpired();
        await owner.assertServed("alice");
        await attempt();
    });
}

scenario("tabs of one bound client send the same nonces", UNHURRIED, async ({ site, device }) => {
    const visitor = await device();
    const tabs = [await openBound(visitor), await visitor.open({ bound: true })];
    await visitor.untilExpired();
    const before = site.proxy.calls.length;
    const answered = new EventEmitter();
    site.proxy.next("POST /refresh", lateUntil(once(answered, "answered")));
    const underWay = site.proxy.nextCall("POST /refresh");
    const late = tabs[0].ask("refreshAlone");
    await underWay;
    assert.equal(await tabs[1].ask("refreshAlone"), 200);
    answered.emit("answered");
    assert.equal(await late, 200);
    const [one, other] = site.proxy.calls.slice(before);
    assert.match(one.nonce, /^2\./);
    assert.equal(one.nonce, other.nonce);
    assert.ok(one.cookies.get("sRefreshToken"));
    assert.equal(one.cookies.get("sRefreshToken"), other.cookies.get("sRefreshToken"));
    for (let round = 0; round < 2; round++) {
        await visitor.untilExpired();
        await Promise.all(tabs.map((tab) => tab.assertServed("alice")));
    }
});

scenario("a page killed after its nonce was written, and before its request left, does no harm", {}, async ({
    site,
    device,
}) => {
    const visitor = await device();
    const doomed = await openBound(visitor);
    await visitor.untilExpired();
    const before = site.proxy.count("POST /refresh");
    const [held] = await Promise.all([holdRefresh(doomed), startRefresh(doomed)]);
    await kill(doomed);
    assert.equal(site.proxy.count("POST /refresh"), before);
    await graces(4);
    const tab = await visitor.open({ bound: true });
    await tab.assertServed("alice");
    assert.equal(site.proxy.last("POST /refresh").nonce, held.headers()["st-nonce"]);
});

scenario("a page killed between its request and its answer does no harm, however late it is opened again", {}, async ({
    site,
    device,
}) => {
    const visitor = await device();
    const doomed = await openBound(visitor);
    await visitor.untilExpired();
    const answers = [];
    let dead;
    const killed = new Promise((resolve) => (dead = resolve));
    const underWay = site.proxy.nextCall("POST /refresh");
    site.proxy.next("POST /refresh", async ({ forward, hangUp }) => {
        answers.push(await forward());
        await killed;
        hangUp();
    });
    await Promise.all([underWay, startRefresh(doomed)]);
    await kill(doomed);
    dead();
    await graces(5);
    site.proxy.next("POST /refresh", seen(answers));
    const tab = await visitor.open({ bound: true });
    await tab.assertServed("alice");
    const [lost, again] = answers.map(refreshTokenOf);
    assert.ok(lost);
    assert.equal(again, lost, "the same successor");
});

scenario("a page killed after its browser took the answer, and before its script did, does no harm", {}, async ({
    site,
    device,
}) => {
    const visitor = await device();
    const doomed = await openBound(visitor);
    await visitor.untilExpired();
    assert.equal(await doomed.ask("refreshAlone"), 200);
    await kill(doomed);
    await visitor.untilExpired();
    const tab = await visitor.open({ bound: true });
    // What the script knows is a generation behind: it is told so, and tries the next.
    for (let refusals = 0; (await tab.call("GET", "/getHomeFeed")).status === 409; refusals++) {
        assert.equal(site.proxy.last("POST /refresh").reason, "nonce_generation");
        assert.ok(refusals < 2);
    }
    await tab.assertServed("alice");
    await visitor.untilExpired();
    await tab.assertServed("alice");
});

scenario("a bound client whose requests get lost goes on with the first that arrives", {}, async ({ site, device }) => {
    const visitor = await device();
    const tab = await openBound(visitor);
    await visitor.untilExpired();
    const found = site.proxy.every("POST /refresh", lostRequest);
    for (let tries = 0; tries < 5; tries++) await assert.rejects(tab.call("GET", "/getHomeFeed"), NETWORK_ERROR);
    found();
    await tab.assertServed("alice");
});

scenario("a bound client whose browser is set back by two generations goes on", {}, async ({ site, device }) => {
    const visitor = await device();
    const tab = await openBound(visitor);
    const before = await visitor.context.cookies();
    for (let round = 0; round < 2; round++) {
        await visitor.untilExpired();
        await tab.assertServed("alice");
    }
    // As by an answer that was under way for so long.
    await visitor.context.addCookies(before);
    await tab.assertServed("alice");
    assert.match(site.proxy.last("POST /refresh").nonce, /^2\./);
    await visitor.untilExpired();
    await tab.assertServed("alice");
    assert.deepEqual(generations(site), [1, 2, 3, 2, 4]);
});

scenario("a bound client whose browser forgot the cookies of scripts goes on", {}, async ({ device }) => {
    const visitor = await device();
    const tab = await openBound(visitor);
    await visitor.context.clearCookies({ name: "sFrontToken" });
    await visitor.context.clearCookies({ name: "st-last-access-token-update" });
    await visitor.untilExpired();
    await tab.page.reload();
    await tab.assertServed("alice");
    await visitor.untilExpired();
    await tab.assertServed("alice");
});

scenario("a bound client whose browser forgot all that scripts keep can log in again", {}, async ({ site, device }) => {
    const visitor = await device();
    const tab = await openBound(visitor);
    for (const name of SCRIPT_COOKIES) await visitor.context.clearCookies({ name });
    await tab.ask("forgetNonces");
    await visitor.untilExpired();
    await tab.page.reload();
    assert.equal((await tab.call("GET", "/getHomeFeed")).status, 409);
    assert.equal(site.proxy.last("POST /refresh").reason, "nonce_required");
    assert.equal(await tab.isLoggedIn(), false);
    await tab.logIn("alice");
    await visitor.untilExpired();
    await tab.assertServed("alice");
});

scenario("a bound client logs out and in again, and is bound anew", {}, async ({ site, device }) => {
    const visitor = await device();
    const tab = await openBound(visitor);
    const [nonce] = site.proxy.last("POST /refresh").nonce.split(".").slice(1);
    await tab.ask("signOut");
    await tab.assertLoggedOut();
    await tab.logIn("alice");
    await visitor.untilExpired();
    await tab.assertServed("alice");
    assert.match(site.proxy.last("POST /refresh").nonce, /^1\./);
    assert.notEqual(site.proxy.last("POST /refresh").nonce, `1.${nonce}`);
    await visitor.untilExpired();
    site.proxy.next("POST /refresh", lostAnswer);
    await assert.rejects(tab.call("GET", "/getHomeFeed"), NETWORK_ERROR);
    await tab.assertServed("alice");
});

/** The generations that the nonces of all refreshes named. */
const generations = (site) =>
    site.proxy.calls.filter(({ nonce }) => nonce).map(({ nonce }) => Number(nonce.split(".")[0]));

/** Has the page call the server, which needs a refresh first, and does not wait for the answer. */
const startRefresh = (tab) => tab.page.evaluate(() => void window.app.call("GET", "/getHomeFeed").catch(() => {}));

/** Keeps the page's next refresh from leaving the browser; answers the request. */
const holdRefresh = (tab) =>
    new Promise((resolve) => tab.page.context().route("**/refresh", (route) => resolve(route.request()), { times: 1 }));

/** Ends the page's process, as a browser does that is short of memory. */
async function kill({ page }) {
    const crashed = once(page, "crash");
    page.goto("chrome://crash").catch(() => {});
    await crashed;
    await page.close();
}
