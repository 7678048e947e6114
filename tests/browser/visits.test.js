// What a browser may have forgotten, kept too long, or wrong.

import assert from "node:assert/strict";

import { SCRIPT_COOKIES, TOKENS } from "./support/device.js";
import { withCookies } from "./support/proxy.js";
import { scenario } from "./support/scenario.js";

const HOUR = 3_600_000;

/** Access tokens that are sure to live on after the first call. */
const ROOMY = { "access-lifetime": "4s" };

scenario("a first visit asks once for a session, is told that there is none, and sees what is public", {}, async ({
    site,
    device,
}) => {
    const visitor = await device();
    const tab = await visitor.open();
    assert.equal((await tab.call("GET", "/health")).body, "ok");
    const { status, reason } = site.proxy.last("POST /refresh");
    assert.deepEqual([status, reason], [401, "unauthorised"]);
    await tab.assertLoggedOut();
    assert.equal(site.proxy.count("POST /refresh"), 1);
    assert.deepEqual(await visitor.cookies(...TOKENS), []);
    await tab.logIn("alice");
    await tab.assertServed("alice");
});

scenario("a browser that purged the cookies of scripts finds its session again", {}, async ({ site, device }) => {
    const visitor = await device();
    let tab = await visitor.open();
    await tab.logIn("alice");
    for (const expired of [false, true]) {
        if (expired) await visitor.untilExpired();
        for (const name of SCRIPT_COOKIES) await visitor.context.clearCookies({ name });
        await tab.page.close();
        tab = await visitor.open();
        const before = site.proxy.count("POST /refresh");
        await tab.assertServed("alice");
        assert.equal(site.proxy.count("POST /refresh"), before + 1);
        assert.equal((await visitor.frontToken()).uid, "alice");
    }
});

scenario("a browser that lost all its cookies can log in again", {}, async ({ device }) => {
    const visitor = await device();
    const tab = await visitor.open();
    await tab.logIn("alice");
    await visitor.context.clearCookies();
    await tab.assertLoggedOut();
    await tab.logIn("alice");
    await tab.assertServed("alice");
});

for (const mode of ["cookie", "header"]) {
    for (const [how, offset] of [["fast", HOUR], ["slow", -HOUR]]) {
        scenario(`a browser whose clock is an hour ${how} refreshes when it should, in ${mode} mode`, ROOMY, async ({
            site,
            device,
        }) => {
            const visitor = await device();
            await visitor.context.addInitScript(shiftClock, offset);
            const tab = await visitor.open({ mode });
            await tab.logIn("alice");
            const before = site.proxy.count("POST /refresh");
            assert.equal(await tab.isLoggedIn(), true);
            await tab.assertServed("alice");
            assert.equal(site.proxy.count("POST /refresh"), before, "nothing has expired yet");

            await visitor.untilExpired();
            await tab.assertServed("alice");
            assert.equal(await tab.isLoggedIn(), true);
            assert.equal(site.proxy.count("POST /refresh"), before + 1);
            const reopened = await visitor.open({ mode });
            await reopened.assertServed("alice");
            assert.equal(await reopened.isLoggedIn(), true);
        });
    }
}

const DOMAIN = { "cookie-domain": "home.localhost" };

/** Sets cookies for the one host alone, as the server did before it was given a domain. */
const asBefore = withCookies((cookie) => cookie.replace(/; Domain=[^;]+/, ""));

scenario("a session goes on when the domain of the cookies changes, and the old cookies go", DOMAIN, async ({
    site,
    device,
}) => {
    const visitor = await device();
    const tab = await visitor.open();
    site.proxy.next("POST /login", asBefore);
    await tab.logIn("alice");
    assert.deepEqual(await domains(visitor), ["api.home.localhost", "api.home.localhost"]);
    for (let round = 0; round < 3; round++) {
        await visitor.untilExpired();
        await tab.assertServed("alice");
        assert.deepEqual(await domains(visitor), [".home.localhost", ".home.localhost"]);
    }
});

scenario("two logins with a change of the domain between them leave the second session alone", DOMAIN, async ({
    site,
    device,
}) => {
    const visitor = await device();
    const tab = await visitor.open();
    site.proxy.next("POST /login", asBefore);
    await tab.logIn("alice");
    // The removals are lost on their way too, so that the browser has two cookies of each name.
    site.proxy.next("POST /login", withCookies((cookie) => (/; Domain=/.test(cookie) ? cookie : "unrelated=1")));
    await tab.logIn("bob");
    assert.equal((await domains(visitor)).length, 4);
    await visitor.untilExpired();
    await tab.assertServed("bob");
    assert.deepEqual(await domains(visitor), [".home.localhost", ".home.localhost"]);
    await visitor.untilExpired();
    await tab.assertServed("bob");
});

async function domains(visitor) {
    const cookies = await visitor.cookies(...TOKENS);
    return cookies.map(({ domain }) => domain);
}

/** Runs in the page, before all its scripts. */
function shiftClock(offset) {
    const Real = Date;
    window.Date = class extends Real {
        constructor(...given) {
            super(...(given.length === 0 ? [Real.now() + offset] : given));
        }

        static now() {
            return Real.now() + offset;
        }
    };
}
