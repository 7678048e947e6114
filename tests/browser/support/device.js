// A browser as one person has it: a profile with its cookies, and tabs.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { chromium } from "playwright-core";

/** How often a browser that crashes before it has begun is started anew. */
const STARTS = 3;

/** Starts Chromium with a fresh profile, and with nothing in it that calls home. */
export async function launchChromium() {
    const executablePath = process.env.CHROMIUM ?? execFileSync("which", ["chromium"], { encoding: "utf8" }).trim();
    const args = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP *.localhost 127.0.0.1",
    ];
    for (let start = 1; ; start += 1) {
        try {
            return await chromium.launch({ executablePath, args, headless: true });
        } catch (crash) {
            if (start === STARTS) throw crash;
            console.error(`Chromium did not start (${start} of ${STARTS} times):\n${crash.message}`);
        }
    }
}

/** The cookies that the server sets, and those that the SDK's script does. */
export const TOKENS = ["sAccessToken", "sRefreshToken"];
export const SCRIPT_COOKIES = ["sFrontToken", "st-last-access-token-update", "st-access-token", "st-refresh-token"];

export class Device {
    #isTraced = true;

    /** `features` are Playwright's: `{ javaScriptEnabled: false }`. */
    static async start(browser, site, features) {
        const context = await browser.newContext(features);
        context.setDefaultTimeout(20_000);
        await context.tracing.start({ screenshots: true, snapshots: true });
        return Object.assign(new Device(), { context, site });
    }

    /** Opens the application in a new tab. */
    async open(options) {
        const tab = new Tab(this, await this.context.newPage());
        await tab.page.goto(this.site.appUrl(options));
        return tab;
    }

    /** Opens an empty page of a host. */
    async visit(host) {
        const page = await this.context.newPage();
        await page.goto(this.site.blankUrl(host));
        return page;
    }

    async cookies(...names) {
        const cookies = await this.context.cookies();
        return cookies.filter(({ name }) => names.includes(name));
    }

    /** What the SDK knows of the access token: `{ uid, ate, up }`. */
    async frontToken() {
        const [cookie] = await this.cookies("sFrontToken");
        return cookie && JSON.parse(Buffer.from(decodeURIComponent(cookie.value), "base64").toString());
    }

    /** Waits until the access token has expired, whichever way it came. */
    async untilExpired() {
        const [{ value }] = await this.cookies("sAccessToken", "st-access-token");
        const { exp } = JSON.parse(Buffer.from(value.split(".")[1], "base64url").toString());
        await sleep(Math.max(0, exp * 1000 + 20 - Date.now()));
    }

    async assertNoTokensLeft() {
        const left = await this.cookies(...TOKENS, "sFrontToken", "st-access-token", "st-refresh-token");
        assert.deepEqual(left.map(({ name }) => name), []);
    }

    /** Leaves a picture of each tab, and a trace for `npx playwright-core show-trace`. */
    async leaveTraces(folder) {
        for (const [number, page] of this.context.pages().entries()) {
            await page.screenshot({ path: path.join(folder, `tab-${number + 1}.png`) });
        }
        await this.#stopTracing({ path: path.join(folder, "trace.zip") });
    }

    async close() {
        await this.#stopTracing();
        await this.context.close();
    }

    /** A context that is closed while it is traced leaves the trace's folder behind. */
    async #stopTracing(options) {
        if (this.#isTraced) await this.context.tracing.stop(options);
        this.#isTraced = false;
    }
}

export class Tab {
    constructor(device, page) {
        this.device = device;
        this.page = page;
    }

    /** Calls the API through the SDK, by `fetch`, `xhr` or `axios`; answers `{ status, body }`. */
    call(method, path, options) {
        return this.page.evaluate((args) => window.app.call(...args), [method, path, options]);
    }

    /** Makes many calls at once. */
    callMany(count, method, path, options) {
        return this.page.evaluate((args) => window.app.callMany(...args), [count, method, path, options]);
    }

    async logIn(user, options) {
        const body = { user, password: "demo" };
        const answer = await this.call("POST", "/login", { body, ...options });
        assert.equal(answer.status, 200, answer.body);
    }

    /** Calls the protected route, which has to let the user pass. */
    async assertServed(user, options) {
        const answer = await this.call("GET", "/getHomeFeed", options);
        assert.equal(answer.status, 200, answer.body);
        assert.equal(JSON.parse(answer.body).user, user);
    }

    /** Calls the protected route, which has to ask for a login. */
    async assertLoggedOut() {
        assert.equal((await this.call("GET", "/getHomeFeed")).status, 401);
        assert.equal(await this.isLoggedIn(), false);
    }

    /** Any function of the page's `app`. */
    ask(name, ...args) {
        return this.page.evaluate(([name, args]) => window.app[name](...args), [name, args]);
    }

    isLoggedIn() {
        return this.ask("isLoggedIn");
    }

    /** What the SDK told the application: the names of its events. */
    async events() {
        return (await this.allEvents()).map(({ action }) => action);
    }

    allEvents() {
        return this.page.evaluate(() => window.events);
    }
}
