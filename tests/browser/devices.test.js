// Two browsers: of one person, or of a person and a thief.

import assert from "node:assert/strict";

import { graces, scenario } from "./support/scenario.js";

for (const mode of ["cookie", "header"]) {
    scenario(`a session that another device revokes is over at once, in ${mode} mode`, {}, async ({ device }) => {
        const [phone, laptop] = [await device(), await device()];
        const [lost, kept] = [await phone.open({ mode }), await laptop.open({ mode })];
        await lost.logIn("alice");
        await kept.logIn("alice");
        const devices = JSON.parse((await kept.call("GET", "/sessions")).body);
        const other = devices.find(({ current }) => !current);
        assert.equal(devices.length, 2);
        assert.equal((await kept.call("POST", `/sessions/${other.handle}/revoke`)).status, 204);

        await lost.assertLoggedOut();
        await phone.assertNoTokensLeft();
        const events = (await lost.allEvents()).filter(({ action }) => action === "UNAUTHORISED");
        assert.ok(events.some(({ sessionExpiredOrRevoked }) => sessionExpiredOrRevoked));
        await kept.assertServed("alice");
    });

    for (const first of ["owner", "thief"]) {
        scenario(`a stolen refresh token that the ${first} uses first ends the session, in ${mode} mode`, {}, async ({
            site,
            device,
        }) => {
            const [owners, thiefs] = [await device(), await device()];
            const owner = await owners.open({ mode });
            await owner.logIn("alice");
            await thiefs.context.addCookies(await owners.context.cookies());
            const thief = await thiefs.open({ mode });
            const [one, other] = first === "owner" ? [owner, thief] : [thief, owner];

            await owners.untilExpired();
            await one.assertServed("alice");
            // The node tells the store in its own time that the new token is in use; the grace begins then.
            await graces(4);
            await other.assertLoggedOut();
            assert.equal(site.proxy.last("POST /refresh").reason, "token_theft");
            await one.assertLoggedOut();
            await owners.assertNoTokensLeft();
            await thiefs.assertNoTokensLeft();

            await owner.logIn("alice");
            await owner.assertServed("alice");
            await thief.assertLoggedOut();
        });
    }
}
