// The page as a client of the server: the official SDK, told the paths of this server.

import SuperTokens from "./vendor/supertokens-website.js";
import { nonceHeader, noteRefresh } from "./bound.js";

const PATHS = { REFRESH_SESSION: "/refresh", SIGN_OUT: "/logout" };

/** `fetch` as the browser has it: what goes this way causes no refresh. */
export const plainFetch = window.fetch.bind(window);

/** Which tab this is; counted per browser, kept over a reload. */
export const tab = (() => {
  const known = sessionStorage.getItem("tab");
  if (known) return known;
  const number = String(Number(localStorage.getItem("tabs") ?? 0) + 1);
  localStorage.setItem("tabs", number);
  sessionStorage.setItem("tab", number);
  return number;
})();

export const isBound = () => localStorage.getItem("bind") === "yes";
export const setBound = (bound) => localStorage.setItem("bind", bound ? "yes" : "no");

/** To be called once, before the first request. `onEvent` hears of the SDK's events. */
export function start(onEvent) {
  SuperTokens.init({
    apiDomain: location.origin,
    preAPIHook: async ({ action, requestInit }) => {
      const headers = new Headers(requestInit.headers);
      headers.set("x-tab", tab);
      if (action === "REFRESH_SESSION" && isBound()) {
        const nonce = await nonceHeader();
        if (nonce) headers.set("st-nonce", nonce);
      }
      return { url: location.origin + PATHS[action], requestInit: { ...requestInit, headers } };
    },
    postAPIHook: async ({ action }) => {
      if (action === "REFRESH_SESSION" && isBound()) await noteRefresh();
    },
    onHandleEvent: onEvent,
  });
}

/** Whether the browser knows of a session; asks the server where it can't tell. */
export const hasSession = () => SuperTokens.doesSessionExist();

/** Refreshes, whether the access token has expired or not. */
export const refresh = () => SuperTokens.attemptRefreshingSession();

export const logOut = () => SuperTokens.signOut();

/** A request by way of the SDK: where the access token has expired, it refreshes and repeats the request. */
export function ask(path, { method = "GET", json } = {}) {
  const headers = { "x-tab": tab };
  if (json) headers["content-type"] = "application/json";
  return fetch(path, { method, headers, body: json && JSON.stringify(json) });
}

/** A request that is answered as it is. */
export const askPlainly = (path, method = "GET") => plainFetch(path, { method, headers: { "x-tab": tab } });
