// Messages that are lost, late or doubled: nobody is logged out by any of them.

import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";

import { cookiesOf, lateUntil, lostAnswer, lostRequest } from "./support/proxy.js";
import { graces, scenario } from "./support/scenario.js";

/** A grace in which whatever is repeated arrives, and access tokens that outlive it. */
const UNHURRIED = { "access-lifetime": "4s", grace: "1s" };

const NETWORK_ERROR = /Failed to fetch/;

for (const [when, count] of [["at once", 0], ["within the quiet phase", 2], ["long after", 4]]) {
    for (const mode of ["cookie", "header"]) {
        scenario(`a refresh whose answer was lost is repeated ${when}, in ${mode} mode`, {}, async ({ site, device }) => {
            const visitor = await device();
            const tab = await visitor.open({ mode });
            await tab.logIn("alice");
            for (let round = 0; round < 2; round++) {
                await visitor.untilExpired();
                site.proxy.next("POST /refresh", lostAnswer);
                await assert.rejects(tab.call("GET", "/getHomeFeed"), NETWORK_ERROR);
                await graces(count);
                await tab.assertServed("alice");
            }
        });
    }
}

scenario("three answers lost in a row log nobody out", {}, async ({ site, device }) => {
    const visitor = await device();
    const tab = await visitor.open();
    await tab.logIn("alice");
    await visitor.untilExpired();
    for (let lost = 0; lost < 3; lost++) {
        site.proxy.next("POST /refresh", lostAnswer);
        await assert.rejects(tab.call("GET", "/getHomeFeed"), NETWORK_ERROR);
        await graces(1.5);
    }
    await tab.assertServed("alice");
    await visitor.untilExpired();
    await tab.assertServed("alice");
});

scenario("a refresh that never arrived is repeated", {}, async ({ site, device }) => {
    const visitor = await device();
    const tab = await visitor.open();
    await tab.logIn("alice");
    await visitor.untilExpired();
    const found = site.proxy.every("POST /refresh", lostRequest);
    await assert.rejects(tab.call("GET", "/getHomeFeed"), NETWORK_ERROR);
    await assert.rejects(tab.call("GET", "/getHomeFeed"), NETWORK_ERROR);
    found();
    await tab.assertServed("alice");
});

scenario("tabs wait for a refresh whose answer is long under way", {}, async ({ site, device }) => {
    const visitor = await device();
    const [here, there] = [await visitor.open(), await visitor.open()];
    await here.logIn("alice");
    await visitor.untilExpired();
    site.proxy.next("POST /refresh", lateUntil(graces(4)));
    await Promise.all([here.assertServed("alice"), there.assertServed("alice")]);
    await visitor.untilExpired();
    await there.assertServed("alice");
});

scenario("an answer that arrives after another tab has refreshed does no harm", UNHURRIED, async ({ site, device }) => {
    const visitor = await device();
    const tab = await visitor.open();
    await tab.logIn("alice");
    for (let round = 0; round < 2; round++) {
        await visitor.untilExpired();
        const used = new EventEmitter();
        site.proxy.next("POST /refresh", lateUntil(once(used, "used")));
        // Two refreshes that know nothing of each other, as of tabs in which the SDK's lock has failed.
        const underWay = site.proxy.nextCall("POST /refresh");
        const late = tab.ask("refreshAlone");
        await underWay;
        assert.equal(await tab.ask("refreshAlone"), 200);
        await tab.assertServed("alice");
        used.emit("used");
        assert.equal(await late, 200);
        await tab.assertServed("alice");
    }
});

scenario("a refresh that arrives twice counts once", UNHURRIED, async ({ site, device }) => {
    const visitor = await device();
    const tab = await visitor.open();
    await tab.logIn("alice");
    for (let round = 0; round < 2; round++) {
        const answers = [];
        site.proxy.next("POST /refresh", async ({ forward, reply }) => {
            answers.push(...(await Promise.all([forward(), forward()])));
            reply(answers[round]);
        });
        await visitor.untilExpired();
        await tab.assertServed("alice");
        const [one, other] = answers.map((answer) => cookiesOf(answer).get("sRefreshToken"));
        assert.ok(one);
        assert.equal(one, other);
    }
});

scenario("a refresh that arrives again after its answer was used does no harm", UNHURRIED, async ({ site, device }) => {
    const visitor = await device();
    const tab = await visitor.open();
    await tab.logIn("alice");
    let again;
    site.proxy.next("POST /refresh", async ({ forward, reply }) => {
        again = forward;
        reply(await forward());
    });
    await visitor.untilExpired();
    await tab.assertServed("alice");
    assert.equal((await again()).status, 200);
    await tab.assertServed("alice");
    await visitor.untilExpired();
    await tab.assertServed("alice");
});

scenario("whoever was offline goes on when back, with a token that has expired or not", {}, async ({ device }) => {
    const visitor = await device();
    const tab = await visitor.open();
    await tab.logIn("alice");
    for (const expired of [false, true]) {
        await visitor.context.setOffline(true);
        await assert.rejects(tab.call("GET", "/getHomeFeed"), NETWORK_ERROR);
        if (expired) await visitor.untilExpired();
        await assert.rejects(tab.call("GET", "/getHomeFeed"), NETWORK_ERROR);
        await visitor.context.setOffline(false);
        await tab.assertServed("alice");
    }
});
