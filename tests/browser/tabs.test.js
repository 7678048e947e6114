// Many calls and many tabs at once, with one session.

import assert from "node:assert/strict";

import { scenario } from "./support/scenario.js";

/** Longer than a hundred calls take, the browser being as slow as it may. */
const ROOMY = { "access-lifetime": "8s" };

for (const mode of ["cookie", "header"]) {
    scenario(`a hundred calls at the expiry make one refresh and all succeed, in ${mode} mode`, ROOMY, async ({
        site,
        device,
    }) => {
        const visitor = await device();
        const tab = await visitor.open({ mode });
        await tab.logIn("alice");
        await visitor.untilExpired();
        const before = site.proxy.count("POST /refresh");
        const answers = await tab.callMany(100, "GET", "/getHomeFeed");
        assert.deepEqual(answers.filter(({ status }) => status !== 200), []);
        assert.equal(site.proxy.count("POST /refresh"), before + 1);
    });
}

scenario("two tabs that refresh at once, and a third that is opened later, stay logged in", {}, async ({ device }) => {
    const visitor = await device();
    const tabs = [await visitor.open(), await visitor.open()];
    await tabs[0].logIn("alice");
    for (let round = 0; round < 3; round++) {
        await visitor.untilExpired();
        const answers = await Promise.all(tabs.map((tab) => tab.callMany(10, "GET", "/getHomeFeed")));
        assert.deepEqual(answers.flat().filter(({ status }) => status !== 200), []);
        if (round === 0) tabs.push(await visitor.open());
    }
    for (const tab of tabs) {
        assert.equal(await tab.isLoggedIn(), true);
        assert.ok(!(await tab.events()).includes("SIGN_OUT"));
    }
});

/** A grace in which twenty refreshes arrive, and access tokens that outlive the three graces between two rotations. */
const UNHURRIED = { "access-lifetime": "4s", grace: "1s" };

scenario("twenty refreshes at once, without a lock between them, all get the same new token", UNHURRIED, async ({
    site,
    device,
}) => {
    const visitor = await device();
    const tab = await visitor.open();
    await tab.logIn("alice");
    for (let round = 0; round < 2; round++) {
        await visitor.untilExpired();
        const before = await visitor.cookies("sRefreshToken");
        const statuses = await Promise.all(Array.from({ length: 20 }, () => tab.ask("refreshAlone")));
        assert.deepEqual(statuses, Array(20).fill(200));
        const issued = site.proxy.calls.slice(-20).map((call) => call.cookies.get("sRefreshToken"));
        assert.equal(new Set(issued.filter(Boolean)).size, 1);
        assert.notDeepEqual(await visitor.cookies("sRefreshToken"), before);
        await tab.assertServed("alice");
    }
});

scenario("a logout in one tab is seen in the other", {}, async ({ device }) => {
    const visitor = await device();
    const [here, there] = [await visitor.open(), await visitor.open()];
    await here.logIn("alice");
    await there.assertServed("alice");
    await here.ask("signOut");
    assert.equal(await there.isLoggedIn(), false);
    await there.assertLoggedOut();
    assert.ok((await there.events()).includes("UNAUTHORISED"));
    await visitor.assertNoTokensLeft();
});

scenario("a login in one tab serves the other", {}, async ({ device }) => {
    const visitor = await device();
    const [here, there] = [await visitor.open(), await visitor.open()];
    await there.assertLoggedOut();
    await here.logIn("alice");
    await there.assertServed("alice");
    await here.logIn("bob");
    await there.assertServed("bob");
});
