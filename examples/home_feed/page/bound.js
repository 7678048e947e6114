// What binds this client: a random nonce for each generation of the refresh token, sent with every refresh in the header
// `st-nonce: <generation>.<nonce>`. It is on disk before the request leaves, shared by all tabs, and kept for three generations; so
// a lost answer can be asked for again after any delay, and a copied token alone is not enough.

/** The value of `st-nonce` for the next refresh; `null` where there is no session. */
export async function nonceHeader() {
  const record = await update((record, seen) => {
    // Scripts can't see the refresh token. It is of the generation of the access token, or, where a late tab was answered last, of
    // the newest one. The server refuses the wrong one (409) and changes nothing: then it is the other's turn.
    record.sent = [seen, record.newest].find((generation) => generation !== record.sent) ?? seen;
    record.nonces[record.sent] ??= randomNonce();
  });
  return record && `${record.sent}.${record.nonces[record.sent]}`;
}

/** To be called after each refresh that succeeded. */
export const noteRefresh = () => update((record) => { record.sent = null; });

/** Changes this session's record in one transaction, which is on disk when the promise is kept. */
async function update(change) {
  const payload = accessTokenPayload();
  if (!payload) return null;
  const { sessionHandle: session, generation } = payload;
  const database = await open();
  const transaction = database.transaction("clients", "readwrite", { durability: "strict" });
  const clients = transaction.objectStore("clients");
  const record = (await settled(clients.get(session))) ?? { session, newest: 0, sent: null, nonces: {} };
  record.newest = Math.max(record.newest, generation);
  for (const old in record.nonces) if (old <= record.newest - 3) delete record.nonces[old];
  change(record, generation);
  clients.clear();
  clients.put(record);
  await new Promise((resolve, reject) => Object.assign(transaction, { oncomplete: resolve, onabort: reject }));
  database.close();
  return record;
}

/** The payload of the access token, as the server tells it to scripts. */
function accessTokenPayload() {
  const cookie = document.cookie.split("; ").find((pair) => pair.startsWith("sFrontToken="));
  return cookie ? JSON.parse(atob(decodeURIComponent(cookie.slice("sFrontToken=".length)))).up : null;
}

/** 128 random bits in base64url. */
function randomNonce() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

async function open() {
  const opening = indexedDB.open("bound-client", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("clients", { keyPath: "session" });
  return settled(opening);
}

const settled = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});
