// What lies between browser and server: it serves the test pages, keeps a record of all calls, and has accidents on demand.

import { EventEmitter, once } from "node:events";
import http from "node:http";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";

/**
 * An accident gets `forward()`, which has the server answer the request, as often as it is called; `reply(answer)`; and
 * `hangUp()`, after which the browser knows nothing.
 *
 * @typedef {(exchange: {
 *     forward: () => Promise<Answer>, reply: (answer: Answer) => void, hangUp: () => void,
 * }) => Promise<void>} Accident
 * @typedef {{ status: number, headers: string[], body: Buffer }} Answer
 */

/** The server gets the request, the browser no answer. */
export const lostAnswer = async ({ forward, hangUp }) => {
    await forward();
    hangUp();
};

/** As `lostAnswer`; the answer is put where the test sees it. */
export const lostAnswerSeen =
    (answers) =>
    async ({ forward, hangUp }) => {
        answers.push(await forward());
        hangUp();
    };

/** An answer that the test sees. */
export const seen =
    (answers) =>
    async ({ forward, reply }) => {
        answers.push(await forward());
        reply(answers.at(-1));
    };

/** The request never arrives. */
export const lostRequest = async ({ hangUp }) => hangUp();

/** The browser waits for its answer until `moment`. */
export const lateUntil =
    (moment) =>
    async ({ forward, reply }) => {
        const answer = await forward();
        await moment;
        reply(answer);
    };

/** Every `Set-Cookie` is changed on its way. */
export const withCookies =
    (change) =>
    async ({ forward, reply }) => {
        const answer = await forward();
        const headers = answer.headers.map((text, at, all) =>
            at % 2 === 1 && all[at - 1].toLowerCase() === "set-cookie" ? change(text) : text,
        );
        reply({ ...answer, headers });
    };

export class Proxy {
    /** Every call: `{ route, nonce, status, reason, cookies }`; the last three come from the answer, unless that was lost. */
    calls = [];
    #accidents = new Map();
    #arrivals = new EventEmitter();
    #agent = new http.Agent({ keepAlive: true });
    #server;
    #upstream;

    /** @param {number} upstream the server's port. @param {Map<string, { type: string, text: string }>} pages by path. */
    constructor(upstream, pages) {
        this.#upstream = upstream;
        this.#server = http.createServer((request, response) => {
            const page = pages.get(new URL(request.url, "http://any").pathname);
            if (page) return servePage(page, response);
            this.#pass(request, response).catch(() => response.destroy());
        });
    }

    async start() {
        this.#server.listen(0, "127.0.0.1");
        await once(this.#server, "listening");
        return this;
    }

    get port() {
        return this.#server.address().port;
    }

    /** Has the next call of a route, such as `POST /refresh`, meet with an accident; further ones queue up. */
    next(route, accident) {
        const queue = this.#accidents.get(route) ?? [];
        queue.push(accident);
        this.#accidents.set(route, queue);
    }

    /** Has every call of a route meet with an accident, until the function that is returned is called. */
    every(route, accident) {
        this.#accidents.set(route, { shift: () => accident });
        return () => this.#accidents.delete(route);
    }

    /** How many calls of a route there were. */
    count(route) {
        return this.calls.filter((call) => call.route === route).length;
    }

    /** Waits until a route is called again. */
    nextCall(route) {
        return once(this.#arrivals, route);
    }

    /** The last call of a route. */
    last(route) {
        return this.calls.findLast((call) => call.route === route);
    }

    async stop() {
        this.#server.closeAllConnections();
        this.#server.close();
        this.#agent.destroy();
    }

    async #pass(request, response) {
        const { method, url, rawHeaders } = request;
        if (request.headers.accept === "text/event-stream") return this.#stream(request, response);
        const body = await buffer(request);
        const route = `${method} ${new URL(url, "http://any").pathname}`;
        const call = { route, nonce: request.headers["st-nonce"] };
        this.calls.push(call);
        this.#arrivals.emit(call.route);
        const forward = () => this.#forward({ method, path: url, headers: rawHeaders, setHost: false }, body);
        const reply = (answer) => {
            call.status = answer.status;
            call.reason = valuesOf(answer, "session-error")[0];
            call.cookies = cookiesOf(answer);
            // A connection that is used once: browsers repeat by themselves what is lost on one that they kept.
            response.shouldKeepAlive = false;
            response.writeHead(answer.status, withoutConnection(answer.headers)).end(answer.body);
        };
        const hangUp = () => request.socket.destroy();
        const accident = this.#accidents.get(call.route)?.shift();
        if (accident) return accident({ forward, reply, hangUp });
        reply(await forward());
    }

    /** An answer that is passed on as it comes, and has no end. */
    async #stream({ method, url, rawHeaders }, response) {
        const answer = await this.#send({ method, path: url, headers: rawHeaders, setHost: false });
        response.writeHead(answer.statusCode, withoutConnection(answer.rawHeaders));
        await pipeline(answer, response);
    }

    async #send(options, body) {
        const upstream = { host: "127.0.0.1", port: this.#upstream, agent: this.#agent };
        const request = http.request({ ...upstream, ...options, headers: withoutConnection(options.headers) });
        request.end(body);
        const [answer] = await once(request, "response");
        return answer;
    }

    /** @returns {Promise<Answer>} */
    async #forward(options, body) {
        const answer = await this.#send(options, body);
        return { status: answer.statusCode, headers: answer.rawHeaders, body: await buffer(answer) };
    }
}

/** A server of nothing but pages, for origins other than the API's. */
export async function servePages(pages) {
    const server = http.createServer((request, response) => {
        const page = pages.get(new URL(request.url, "http://any").pathname);
        if (page) return servePage(page, response);
        response.writeHead(404).end();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const stop = () => {
        server.closeAllConnections();
        server.close();
    };
    return { port: server.address().port, stop };
}

function servePage({ type, text }, response) {
    response.writeHead(200, { "content-type": `${type}; charset=utf-8`, "cache-control": "no-store" }).end(text);
}

/** The cookies that an answer sets: their values by name. */
export function cookiesOf(answer) {
    return new Map(valuesOf(answer, "set-cookie").map((text) => text.split(";", 1)[0].split("=")));
}

/** The refresh token that an answer gives out, by whichever way. */
export const refreshTokenOf = (answer) =>
    cookiesOf(answer).get("sRefreshToken") ?? valuesOf(answer, "st-refresh-token")[0];

function valuesOf({ headers }, name) {
    return headers.filter((_, at) => at % 2 === 1 && headers[at - 1].toLowerCase() === name);
}

/** Headers of one connection are not passed on to the next (RFC 9110, section 7.6.1). */
function withoutConnection(rawHeaders) {
    const dropped = ["connection", "keep-alive", "transfer-encoding"];
    return rawHeaders.filter((_, at, all) => !dropped.includes(all[at - (at % 2)].toLowerCase()));
}
