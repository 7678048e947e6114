// The page: takes what the server tells, and has every part show it.

import * as client from "./client.js";
import * as devices from "./devices.js";
import { hint } from "./hints.js";
import * as log from "./log.js";
import { allRules, sentence } from "./rules.js";
import * as stream from "./stream.js";
import { Story } from "./story.js";
import { fill } from "./token_table.js";
import { Timeline } from "./timeline.js";

const $ = (id) => document.getElementById(id);
const timeline = new Timeline({ svg: $("timeline"), scroll: $("scroll"), rows: $("rows") });

const page = { story: null, hello: null, offset: 0, armed: false, loggedIn: false };
const serverNow = () => Date.now() + page.offset;

// What the server tells.

function connect() {
  stream.open({ onHello: hello, onNote: note, onEnd: show, onRefused: join });
}

/** Goes on with a session; has the SDK refresh first, should the access token have expired. */
async function join() {
  const answer = await client.ask("/sessions");
  if (!answer.ok) return;
  showDevices(await answer.json());
  connect();
}

function hello(hello) {
  page.hello = hello;
  page.offset = hello.now - Date.now();
  page.loggedIn = true;
  if (page.story?.session !== hello.session) {
    page.story = new Story(hello.session);
    page.armed = false;
    // A backlog is not read out.
    $("log").ariaLive = "off";
    setTimeout(() => { $("log").ariaLive = "polite"; }, 500);
    $("log").replaceChildren();
    $("verdict").replaceChildren();
  }
  $("grace").textContent = `${hello.grace / 1000} s`;
  $("lab").hidden = !hello.lab;
  show();
  if (!$("devices").hasChildNodes()) listDevices();
}

function note(note) {
  if (note.kind === "decision") note.sentence = sentence(note);
  const { story } = page;
  if (!story.add(note)) {
    if (note.kind === "decision" && note.session !== story.session) listDevices();
    return;
  }
  $("log-section").hidden = false;
  log.append($("log"), note, story.begin);
  if (note.kind === "decision") verdict(note);
  if (note.lost) page.armed = false;
  show();
}

function verdict({ decision, sentence }) {
  if (decision === "otherClient") return;
  const line = document.createElement("p");
  line.className = decision;
  line.textContent = sentence;
  $("verdict").replaceChildren(line);
}

// What the page shows.

function show() {
  const { story, hello, loggedIn } = page;
  $("login").hidden = loggedIn;
  $("session").hidden = !loggedIn;
  $("devices-section").hidden = !loggedIn;
  if (!story?.notes.length) return;
  for (const id of ["drawing", "table"]) $(id).hidden = false;
  timeline.draw(story, hello.accessLifetime);
  fill($("tokens"), story, serverNow());
  $("thief-refresh").disabled = !story.hasThief;
  $("thief-call").disabled = !story.newest("thief", "access");
  for (const id of ["lose", "steal", "phone"]) $(id).disabled = !loggedIn || Boolean(story.end);
  $("lose").ariaPressed = String(page.armed);
  tick();
}

function tick() {
  const { story, hello, armed, loggedIn } = page;
  const now = serverNow();
  if (loggedIn) $("status").textContent = status(now);
  $("hint").textContent = hint({ story, now, grace: hello?.grace, armed, loggedIn });
  timeline.tick(now);
}

function status(now) {
  const { story, hello } = page;
  if (story.end) return `Logged in as ${hello.user}, as far as this browser knows. The server knows better.`;
  const access = story.newest("you", "access");
  const left = access ? Math.ceil((access.expiresAt - now) / 1000) : 0;
  return `Logged in as ${hello.user}. The access token ${left > 0 ? `expires in ${left} s` : "has expired"}.`;
}

async function listDevices() {
  const answer = await client.askPlainly("/sessions");
  if (answer.ok) showDevices(await answer.json());
}

function showDevices(list) {
  devices.show($("devices"), list, revoke);
  $("revoke-others").disabled = list.length < 2;
}

/** The stream stays open: it ends by itself once it has told how the session did. */
function forget() {
  page.loggedIn = false;
  $("devices").replaceChildren();
  $("revoke-others").disabled = true;
  show();
}

function say(text) {
  $("answer").textContent = text;
}

// What the visitor does.

async function logIn(event) {
  event.preventDefault();
  const { user, password } = Object.fromEntries(new FormData($("login")));
  const answer = await client.ask("/login", { method: "POST", json: { user, password } });
  if (!answer.ok) return say((await answer.json()).message);
  say("");
  connect();
}

async function call() {
  const answer = await client.ask("/getHomeFeed");
  tellOfRefusal("GET", "/getHomeFeed", answer);
  const body = await answer.json();
  say(answer.ok ? `The feed: ${body.feed.join(" · ")}` : `${answer.status}: ${body.message}`);
  if (answer.ok) reconnect();
}

async function refresh() {
  try {
    const refreshed = await client.refresh();
    say(refreshed ? "Refreshed." : "Refused: the session is over.");
    if (refreshed) reconnect();
  } catch (answer) {
    const body = await answer.json?.();
    say(`${answer.status ?? ""} ${body?.message ?? answer}`);
  }
}

async function logOut() {
  await client.logOut();
  say("Logged out.");
  forget();
}

async function revoke(handle) {
  await client.ask(`/sessions/${handle}/revoke`, { method: "POST" });
  listDevices();
}

async function revokeOthers() {
  await client.ask("/sessions/revoke-others", { method: "POST" });
  listDevices();
}

async function lab(path) {
  const answer = await client.ask(`/lab/${path}`, { method: "POST" });
  if (!answer.ok) say(`${answer.status}: ${(await answer.json().catch(() => ({}))).message ?? "that did not work"}`);
  return answer.ok;
}

async function lose() {
  page.armed = await lab("lose-next-refresh");
  if (page.armed) say("The answer to your next refresh will get lost.");
  show();
}

/** What the thief does is told in the answer too: the stream may have ended with the session. */
async function thief(action) {
  const answer = await client.askPlainly(`/lab/thief/${page.story.session}/${action}`, "POST");
  if (!answer.ok) return say(`${answer.status}: that did not work`);
  const done = await answer.json();
  say(`The thief was answered ${done.status}${done.reason ? `: ${done.reason.replaceAll("_", " ")}` : ""}.`);
  note(done);
}

/** The stream breaks with the connection, and does not open again by itself once the access token has expired. */
function reconnect() {
  if (!stream.isOpen()) connect();
}

/** Where the session is over, the server does not know whose request it was, and so does not tell of it. */
function tellOfRefusal(method, path, answer) {
  if (answer.ok || stream.isOpen() || !page.story) return;
  const reason = answer.headers.get("session-error");
  note({ kind: "request", at: serverNow(), session: page.story.session, by: `tab ${client.tab}`, method, path,
    status: answer.status, reason, presented: null, issued: [], lost: false });
}

function wire() {
  $("login").hidden = false;
  $("login").addEventListener("submit", logIn);
  const clicks = { call, refresh, logout: logOut, lose, "revoke-others": revokeOthers,
    tab: () => window.open(location.href, "_blank", "noopener"),
    phone: () => lab("phone"), steal: () => lab("steal"),
    "thief-refresh": () => thief("refresh"), "thief-call": () => thief("call") };
  for (const [id, act] of Object.entries(clicks)) $(id).addEventListener("click", act);
  $("bind").checked = client.isBound();
  $("bind").addEventListener("change", () => client.setBound($("bind").checked));
  $("rules").replaceChildren(...allRules().map(([, name, text]) => {
    const [item, title] = [document.createElement("li"), document.createElement("b")];
    title.textContent = name;
    item.append(title, " ", text);
    return item;
  }));
}

client.start(({ action }) => {
  if (action === "UNAUTHORISED") forget();
});
wire();
setInterval(tick, 250);
if (await client.hasSession()) await join();
tick();
