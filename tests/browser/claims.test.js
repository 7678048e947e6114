// What the session says of its user, as the SDK's own claims and validators read it.

import assert from "node:assert/strict";

import { scenario } from "./support/scenario.js";

for (const mode of ["cookie", "header"]) {
    scenario(`a claim that the server changes shows at once in every tab, in ${mode} mode`, {}, async ({ device }) => {
        const visitor = await device();
        const [here, there] = [await visitor.open({ mode }), await visitor.open({ mode })];
        await here.logIn("alice");
        assert.equal(await there.ask("theme"), "light");
        await here.call("POST", "/theme", { body: { theme: "dark" } });
        assert.ok((await here.events()).includes("ACCESS_TOKEN_PAYLOAD_UPDATED"));
        assert.equal(await here.ask("theme"), "dark");
        assert.equal(await there.ask("theme"), "dark");
        const { sub, theme, exp, iat } = await there.ask("payload");
        assert.deepEqual([sub, theme.v, Number.isInteger(exp), Number.isInteger(iat)], ["alice", "dark", true, true]);
        assert.ok(Math.abs(theme.t - Date.now()) < 30_000);
    });

    scenario(`a claim that fails is told to the application, in ${mode} mode`, {}, async ({ device }) => {
        const visitor = await device();
        const tab = await visitor.open({ mode });
        await tab.logIn("alice");
        const answer = await tab.call("DELETE", "/posts/1");
        assert.deepEqual([answer.status, JSON.parse(answer.body).message], [403, "invalid claim"]);
        const [failure] = (await tab.allEvents()).filter(({ action }) => action === "API_INVALID_CLAIM");
        assert.equal(failure.claimValidationErrors[0].id, "roles");
        assert.equal((await tab.ask("missingRole", "admin"))[0].id, "roles");
        await tab.assertServed("alice");

        await tab.logIn("bob");
        assert.equal((await tab.call("DELETE", "/posts/1")).status, 204);
        assert.deepEqual(await tab.ask("missingRole", "admin"), []);
    });
}
