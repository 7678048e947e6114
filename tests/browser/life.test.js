// The life of a session, by every way that a page has to call its server.

import assert from "node:assert/strict";

import { TOKENS } from "./support/device.js";
import { scenario } from "./support/scenario.js";

for (const mode of ["cookie", "header"]) {
    for (const from of ["same", "another"]) {
        for (const by of ["fetch", "xhr", "axios"]) {
            lives(`in ${mode} mode, from ${from} origin, by ${by}`, {}, { mode, from }, by);
        }
    }
}

for (const from of ["same", "another"]) {
    lives(`guarded by anti-CSRF tokens, from ${from} origin`, { csrf: "token" }, { from });
    lives(`guarded by a custom header, from ${from} origin`, { csrf: "custom-header" }, { from });
}

lives("with a status of its own for what has expired", { "expired-status": 440 }, { expired: 440 });

function lives(how, options, view, by = "fetch") {
    const { mode = "cookie", expired = 401 } = view;
    scenario(`a session lives from login to logout ${how}`, options, async ({ site, device }) => {
        const visitor = await device();
        const tab = await visitor.open(view);
        assert.equal((await tab.call("GET", "/getHomeFeed", { by })).status, expired);
        await tab.logIn("alice", { by });
        const tokens = await visitor.cookies(...TOKENS);
        assert.equal(tokens.length, mode === "cookie" ? 2 : 0);
        assert.ok(tokens.every(({ httpOnly, sameSite }) => httpOnly && sameSite === "Lax"));

        await tab.assertServed("alice", { by });
        const before = site.proxy.count("POST /refresh");
        await visitor.untilExpired();
        await tab.assertServed("alice", { by });
        assert.equal(site.proxy.count("POST /refresh"), before + 1);
        assert.equal((await tab.call("POST", "/theme", { body: { theme: "dark" }, by })).status, 200);

        await tab.ask("signOut");
        assert.equal((await tab.call("GET", "/getHomeFeed", { by })).status, expired);
        assert.equal(await tab.isLoggedIn(), false);
        await visitor.assertNoTokensLeft();
        const events = await tab.events();
        const told = ["SESSION_CREATED", "REFRESH_SESSION", "ACCESS_TOKEN_PAYLOAD_UPDATED", "SIGN_OUT"];
        assert.deepEqual(told.filter((action) => !events.includes(action)), []);
    });
}
