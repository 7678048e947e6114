// An example's server with a proxy before it, and the pages of its own and of other origins.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";

import { buildSync } from "esbuild";

import { Proxy, servePages } from "./proxy.js";

const ROOT = path.resolve(import.meta.dirname, "../../..");
const TARGET = process.env.CARGO_TARGET_DIR ?? path.join(ROOT, "target");
const EXAMPLES = process.env.EXAMPLES ?? path.join(TARGET, "debug");

/** Where a failed test leaves what it saw. */
export const ARTEFACTS = path.join(TARGET, "browser");

/** Hosts that browsers resolve to this machine and trust as they trust HTTPS; all but the last are of one site. */
const API_HOST = "api.home.localhost";
export const PAGE_HOST = "www.home.localhost";
export const STRANGER_OF_THE_SITE = "stranger.home.localhost";
export const STRANGER = "stranger.localhost";

const script = buildSync({
    entryPoints: [path.join(import.meta.dirname, "page.js")],
    bundle: true,
    write: false,
    logLevel: "error",
}).outputFiles[0].text;

const PAGES = new Map([
    ["/app.html", { type: "text/html", text: '<!doctype html><title>app</title><script src="/app.js"></script>' }],
    ["/app.js", { type: "text/javascript", text: script }],
    ["/blank.html", { type: "text/html", text: "<!doctype html><title>blank</title>" }],
]);

/** Servers that must not outlive the tests, however those end. */
const running = new Set();
process.on("exit", () => running.forEach((server) => server.kill()));

/** A server of its own for one test. */
export class Site {
    /** `home_feed`, `forms` or `live`, with options of it: `{ "access-lifetime": "2s" }`. */
    static async start(example, options) {
        const pages = await servePages(PAGES);
        const origins = example === "home_feed" && { "allow-origin": `http://${PAGE_HOST}:${pages.port}` };
        const given = { listen: "127.0.0.1:0", ...origins, ...options };
        const args = Object.entries(given).map(([name, value]) => `--${name}=${value}`);
        const server = spawn(path.join(EXAMPLES, example), args, { stdio: ["ignore", "pipe", "pipe"] });
        running.add(server);
        const log = [];
        server.stderr.on("data", (piece) => log.push(piece));
        const upstream = await portOf(server);
        const proxy = await new Proxy(upstream, PAGES).start();
        return Object.assign(new Site(), { pages, server, proxy, log, upstream });
    }

    /** The origin of the API. */
    get origin() {
        return `http://${API_HOST}:${this.proxy.port}`;
    }

    /** The same, but past the proxy, which passes no WebSockets on. */
    get directOrigin() {
        return `http://${API_HOST}:${this.upstream}`;
    }

    /** The application's page: of the API's own origin, or of another that the server allows. */
    appUrl({ mode = "cookie", from = "same", expired = 401, bound = false } = {}) {
        const host = from === "same" ? this.origin : `http://${PAGE_HOST}:${this.pages.port}`;
        return `${host}/app.html?${new URLSearchParams({ api: this.origin, mode, expired, ...(bound && { bound }) })}`;
    }

    /** An empty page of any host. */
    blankUrl(host) {
        return `http://${host}:${this.pages.port}/blank.html`;
    }

    /** Waits until the server has logged a line that matches. */
    async logged(pattern) {
        while (!pattern.test(Buffer.concat(this.log).toString())) await once(this.server.stderr, "data");
    }

    /** Leaves what the server logged. */
    async leaveTraces(folder) {
        await mkdir(folder, { recursive: true });
        await writeFile(path.join(folder, "server.log"), Buffer.concat(this.log));
    }

    /** Ends the server by a signal, if it still runs. */
    async end(signal) {
        running.delete(this.server);
        if (this.server.exitCode !== null || this.server.signalCode !== null) return;
        const ended = once(this.server, "exit");
        this.server.kill(signal);
        await ended;
    }

    async stop() {
        await this.proxy.stop();
        this.pages.stop();
        await this.end("SIGTERM");
    }
}

/** Reads from the server's greeting where it listens. */
async function portOf(server) {
    const failed = once(server, "exit").then(([code]) => {
        throw new Error(`the example ended with ${code} before it listened`);
    });
    const greeted = once(createInterface({ input: server.stdout }), "line");
    const [line] = await Promise.race([greeted, failed]);
    failed.catch(() => {});
    return Number(/:(\d+)$/.exec(line)[1]);
}
