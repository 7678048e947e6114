// One test: a server of its own, any number of devices, and what they saw if it fails.

import { rm } from "node:fs/promises";
import path from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Device, launchChromium } from "./device.js";
import { ARTEFACTS, Site } from "./site.js";

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser?.close());

/** The usual grace, in milliseconds. */
const GRACE = 500;

/** Short lifetimes, so that a test sees a session's whole life. */
const SHORT = {
    home_feed: { "access-lifetime": "2s", grace: `${GRACE}ms` },
    forms: { "access-lifetime": "4s" },
    live: { "access-lifetime": "2s" },
};

/** For how long a scenario may go on, in milliseconds. */
const PATIENCE = 45_000;

/** Lets time pass, in graces: what the rotation decides depends on nothing else. */
export const graces = (count) => sleep(count * GRACE);

/**
 * A test by the name of the promise that it keeps, against the example `home_feed`. `run` gets the `site`, and `device()`, which
 * starts a browser of another person or of the same one elsewhere. The options are those of the example.
 */
export const scenario = (name, options, run) => scenarioOf("home_feed", name, options, run);

/** As `scenario`, against the example `forms`. */
export const formsScenario = (name, options, run) => scenarioOf("forms", name, options, run);

/** As `scenario`, against the example `live`. */
export const liveScenario = (name, options, run) => scenarioOf("live", name, options, run);

function scenarioOf(example, name, options, run) {
    test(name, { timeout: 2 * PATIENCE }, async () => {
        const folder = path.join(ARTEFACTS, name.replaceAll(/\W+/g, "_"));
        await rm(folder, { recursive: true, force: true });
        const site = await Site.start(example, { ...SHORT[example], ...options });
        const devices = [];
        const device = async (features) => {
            devices.push(await Device.start(browser, site, features));
            return devices.at(-1);
        };
        try {
            await Promise.race([run({ site, device }), impatience()]);
        } catch (error) {
            await site.leaveTraces(folder);
            for (const [number, device] of devices.entries()) {
                await device.leaveTraces(path.join(folder, `device-${number + 1}`));
            }
            throw error;
        } finally {
            for (const device of devices) await device.close();
            await site.stop();
        }
    });
}

async function impatience() {
    await sleep(PATIENCE, undefined, { ref: false });
    throw new Error(`the scenario was not over after ${PATIENCE} ms`);
}

/** Opens a page in a new tab; its `problems` gets what the console would show in red, refused requests apart. */
export async function openPage(visitor, url) {
    const page = await visitor.context.newPage();
    const problems = [];
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => {
        if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) problems.push(message.text());
    });
    await page.goto(url);
    return Object.assign(page, { problems });
}
