// Holds a WebSocket and a stream of events open while there is a session.

const element = (id) => document.getElementById(id);

/** The code by which the server closes a socket whose session has ended. */
const SESSION_ENDED = 4401;

let socket = null;
let source = null;

/** Calls the server. An expired token is refreshed, and the call repeated; tabs take turns, so that they don't refresh at once. */
async function call(method, path) {
  const answer = await fetch(path, { method });
  if (answer.headers.get("session-error") !== "try_refresh_token") return answer;
  const refreshed = await navigator.locks.request("refresh", () => fetch("/refresh", { method: "POST" }));
  return refreshed.ok ? fetch(path, { method }) : refreshed;
}

/** Shows the session, if there is one, and opens what is not open. */
async function start() {
  const answer = await call("GET", "/me");
  if (!answer.ok) return showLogin(answer.status === 401 ? "You are not logged in." : `The server answers ${answer.status}.`);
  showSession(await answer.json());
  openSocket();
  openEvents();
}

function openSocket() {
  if (socket) return;
  const opened = new WebSocket(`${location.origin.replace(/^http/, "ws")}/ws`);
  socket = opened;
  opened.onopen = () => show("socket", "open");
  opened.onmessage = ({ data }) => (element("echo").textContent = data);
  opened.onclose = ({ code, reason }) => {
    socket = null;
    if (code === SESSION_ENDED) sessionEnded("socket", reason);
    else show("socket", "closed", reason || `code ${code}`);
  };
}

function openEvents() {
  if (source) return;
  const opened = new EventSource("/events");
  source = opened;
  opened.onopen = () => show("events", "open");
  opened.addEventListener("tick", ({ data }) => (element("seconds").textContent = data));
  opened.addEventListener("end", ({ data }) => {
    closeEvents();
    if (data === "session ended") sessionEnded("events", data);
    else show("events", "closed", data);
  });
  // What the network cuts off the browser connects again by itself; what the server refuses it gives up.
  opened.onerror = () => {
    if (opened.readyState !== EventSource.CLOSED) return show("events", "connecting");
    closeEvents();
    show("events", "closed");
  };
}

function closeEvents() {
  source?.close();
  source = null;
}

function sessionEnded(what, reason) {
  show(what, "ended", reason);
  showLogin("Your session has ended.");
}

function show(what, state, reason = "") {
  const shown = element(what);
  shown.dataset.state = state;
  shown.textContent = reason && reason !== state ? `${state}: ${reason}` : state;
}

function showSession({ user, accessExpires }) {
  const time = new Date(accessExpires).toLocaleTimeString();
  element("session").textContent = `${user}; this access token expires at ${time}, and the connections stay.`;
  showControls(true);
}

function showLogin(why) {
  element("session").textContent = why;
  showControls(false);
}

function showControls(hasSession) {
  element("login").hidden = hasSession;
  element("controls").hidden = !hasSession;
}

function onSubmit(id, run) {
  element(id).addEventListener("submit", (event) => {
    event.preventDefault();
    run(new FormData(event.target));
  });
}

onSubmit("login", async (form) => {
  const body = JSON.stringify(Object.fromEntries(form));
  const answer = await fetch("/login", { method: "POST", headers: { "content-type": "application/json" }, body });
  if (answer.ok) await start();
  else showLogin("Wrong user or password.");
});

onSubmit("talk", (form) => socket?.readyState === WebSocket.OPEN && socket.send(form.get("text")));

element("refresh").onclick = async () => {
  await fetch("/refresh", { method: "POST" });
  await start();
};
element("logout").onclick = () => call("POST", "/logout");
element("logout-everywhere").onclick = () => call("POST", "/logout-everywhere");

await start();
