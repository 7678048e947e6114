// The script of every test page: the official SDK as an application sets it up, and what the tests ask the page to do.

import axios from "axios";
import Session, { PrimitiveArrayClaim, PrimitiveClaim } from "supertokens-website";

import { nonceHeader, noteRefresh } from "../../../examples/home_feed/page/bound.js";

const query = new URLSearchParams(location.search);
const api = query.get("api");
const isBound = query.has("bound");

/** What the SDK told the application, oldest first. */
window.events = [];

/** The application's endpoints have paths of their own. */
const PATHS = { REFRESH_SESSION: "/refresh", SIGN_OUT: "/logout" };

/** The headers of a refresh, with the nonce of a bound client. */
async function refreshHeaders(given) {
    const headers = new Headers(given);
    const nonce = isBound && (await nonceHeader());
    if (nonce) headers.set("st-nonce", nonce);
    return headers;
}

Session.init({
    apiDomain: api,
    tokenTransferMethod: query.get("mode"),
    sessionExpiredStatusCode: Number(query.get("expired")),
    preAPIHook: async ({ action, requestInit }) => {
        const headers = action === "REFRESH_SESSION" ? await refreshHeaders(requestInit.headers) : requestInit.headers;
        return { url: api + PATHS[action], requestInit: { ...requestInit, headers } };
    },
    postAPIHook: async ({ action }) => {
        if (isBound && action === "REFRESH_SESSION") await noteRefresh();
    },
    onHandleEvent: (event) => window.events.push(event),
});

const theme = new PrimitiveClaim({ id: "theme", refresh: async () => {} });
const roles = new PrimitiveArrayClaim({ id: "roles", refresh: async () => {} });

/** The ways by which a page calls the server; each answers `{ status, body }`. */
const callers = {
    fetch: async (method, url, body) => {
        const headers = body && { "content-type": "application/json" };
        const response = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
        return { status: response.status, body: await response.text() };
    },
    xhr: (method, url, body) =>
        new Promise((resolve, reject) => {
            const request = new XMLHttpRequest();
            request.open(method, url);
            if (body) request.setRequestHeader("content-type", "application/json");
            request.onload = () => resolve({ status: request.status, body: request.responseText });
            request.onerror = () => reject(new TypeError("network error"));
            request.send(body && JSON.stringify(body));
        }),
    axios: async (method, url, data) => {
        const response = await axios({ method, url, data, validateStatus: () => true, responseType: "text" });
        return { status: response.status, body: response.data };
    },
};

window.app = {
    call: (method, path, { body, by = "fetch" } = {}) => callers[by](method, api + path, body),
    callMany: (count, method, path, { by = "fetch" } = {}) =>
        Promise.all(Array.from({ length: count }, () => callers[by](method, api + path))),
    /** Refreshes without the SDK and its lock, which hear nothing of the answer; answers the status. */
    refreshAlone: async () => {
        const headers = await refreshHeaders();
        return (await window.__supertokensOriginalFetch(`${api}/refresh`, { method: "POST", headers })).status;
    },
    /** Deletes what `bound.js` has written. */
    forgetNonces: () =>
        new Promise((resolve, reject) =>
            Object.assign(indexedDB.deleteDatabase("nonces"), { onsuccess: () => resolve(), onerror: reject, onblocked: reject }),
        ),
    signOut: () => Session.signOut(),
    isLoggedIn: () => Session.doesSessionExist(),
    payload: () => Session.getAccessTokenPayloadSecurely(),
    theme: () => Session.getClaimValue({ claim: theme }),
    missingRole: (role) =>
        Session.validateClaims(() => [roles.validators.includes(role)]),
};
