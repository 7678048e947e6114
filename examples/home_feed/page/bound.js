// What binds this client: a random nonce for each generation of the refresh token, sent with every refresh in the header
// `st-nonce: <generation>.<nonce>`. It is on disk before the request leaves, shared by all tabs, and kept until a token of a later
// generation has arrived; so a lost answer can be asked for again after any delay, and a copied token alone is not enough.

/** The value of `st-nonce` for the next refresh; `null` where there is no session. */
export async function nonceHeader() {
  const record = await update((nonces, generation) => {
    nonces[generation] ??= randomNonce();
  });
  return record && `${record.generation}.${record.nonces[record.generation]}`;
}

/** To be called after each refresh: drops the nonces of generations that are past. */
export const noteGeneration = () => update(() => {});

/** Changes this session's record in one transaction, which is on disk when the promise is kept. */
async function update(change) {
  const seen = frontToken();
  if (!seen) return null;
  const database = await open();
  const transaction = database.transaction("clients", "readwrite", { durability: "strict" });
  const clients = transaction.objectStore("clients");
  const known = (await settled(clients.get(seen.sessionHandle))) ?? { generation: 0, nonces: {} };
  // A short access token, which a late tab is given, names the generation before the one that the browser holds.
  const generation = Math.max(known.generation, seen.generation);
  const nonces = Object.fromEntries(Object.entries(known.nonces).filter(([of]) => Number(of) >= generation));
  change(nonces, generation);
  const record = { session: seen.sessionHandle, generation, nonces };
  clients.clear();
  clients.put(record);
  await new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = () => reject(transaction.error);
  });
  database.close();
  return record;
}

/** The payload of the access token, as the server tells it to scripts. */
function frontToken() {
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
