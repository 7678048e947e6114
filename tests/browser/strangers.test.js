// Pages of others, which a visitor with a session opens: they get nothing done in the visitor's name.

import assert from "node:assert/strict";

import { TOKENS } from "./support/device.js";
import { scenario } from "./support/scenario.js";
import { PAGE_HOST, STRANGER, STRANGER_OF_THE_SITE } from "./support/site.js";

/** What a refused request is told: browsers send no cookie from another site, and say what a page of the same site is. */
const REFUSED = {
    [STRANGER]: { status: 401, reason: "unauthorised" },
    [STRANGER_OF_THE_SITE]: { status: 403, reason: "csrf" },
};

/** Access tokens that outlive a test: an expired one would be the reason for a refusal. */
const ROOMY = { "access-lifetime": "30s" };

const CHANGES = ["/logout", "/refresh", "/theme", "/sessions/revoke-others"];

for (const [host, refused] of Object.entries(REFUSED)) {
    const withSession = (name, run) =>
        scenario(`${name} on ${host} changes nothing`, ROOMY, async ({ site, device }) => {
            const visitor = await device();
            const tab = await visitor.open();
            await tab.logIn("alice");
            const before = await visitor.cookies(...TOKENS);
            await run({ site, stranger: await visitor.visit(host) });
            assert.deepEqual(await visitor.cookies(...TOKENS), before);
            await tab.assertServed("alice");
            assert.equal(await tab.ask("theme"), "light");
        });

    withSession("a form", async ({ site, stranger }) => {
        for (const path of CHANGES) {
            await stranger.goto(site.blankUrl(host));
            await submit(stranger, site.origin + path);
            const { status, reason } = site.proxy.last(`POST ${path}`);
            assert.deepEqual({ status, reason }, refused, path);
        }
    });

    withSession("a simple request of a script", async ({ site, stranger }) => {
        for (const path of CHANGES) {
            const type = await stranger.evaluate(async (url) => {
                const options = { method: "POST", mode: "no-cors", credentials: "include", body: '{"theme":"evil"}' };
                return (await fetch(url, options)).type;
            }, site.origin + path);
            const { status, reason } = site.proxy.last(`POST ${path}`);
            assert.deepEqual({ type, status, reason }, { type: "opaque", ...refused }, path);
        }
    });

    withSession("a script that asks for more", async ({ site, stranger }) => {
        for (const [method, path] of [...CHANGES.map((path) => ["POST", path]), ["DELETE", "/posts/1"]]) {
            const route = `${method} ${path}`;
            const before = site.proxy.count(route);
            const sent = stranger.evaluate(
                ([url, method]) => fetch(url, { method, credentials: "include", headers: { rid: "anti-csrf" } }),
                [site.origin + path, method],
            );
            await assert.rejects(sent, /Failed to fetch/);
            assert.equal(site.proxy.count(route), before, `${route} was sent in spite of its preflight`);
        }
        const read = stranger.evaluate((url) => fetch(url, { credentials: "include" }), `${site.origin}/getHomeFeed`);
        await assert.rejects(read, /Failed to fetch/);
    });

    withSession("a login form", async ({ site, stranger }) => {
        await submit(stranger, `${site.origin}/login`);
        const { status, reason } = site.proxy.last("POST /login");
        assert.deepEqual({ status, reason }, { status: 403, reason: "csrf" });
    });
}

scenario("the keys, which are public, are read by pages of any origin", {}, async ({ site, device }) => {
    const visitor = await device();
    for (const host of [STRANGER, STRANGER_OF_THE_SITE, PAGE_HOST]) {
        const page = await visitor.visit(host);
        const { keys } = await page.evaluate(async (url) => (await fetch(url)).json(), `${site.origin}/auth/jwt/jwks.json`);
        assert.ok(keys.length > 0);
    }
});

/** Submits a form whose body reads as JSON, and waits for the answer, which takes the place of the page. */
async function submit(page, action) {
    const answered = page.waitForURL(action);
    await page.evaluate((action) => {
        const form = Object.assign(document.createElement("form"), { action, method: "post", enctype: "text/plain" });
        const field = Object.assign(document.createElement("input"), { name: '{"theme":"evil","user":"', value: '"}' });
        form.append(field);
        document.body.append(form);
        form.submit();
    }, action);
    await answered;
}
