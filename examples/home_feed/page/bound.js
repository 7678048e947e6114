// What binds this client: a random nonce for each generation of the refresh token, sent with every refresh in the header
// `st-nonce: <generation>.<nonce>`. It is on disk before the request leaves, shared by all tabs, and kept for three generations; so
// a lost answer can be asked for again after any delay, and a copied token alone is not enough.

const page = randomNonce();

/** The value of `st-nonce` for the next refresh; `null` where no session is known of. */
export async function nonceHeader() {
  const record = await update((record, seen) => {
    // Scripts can't see the refresh token. It is of the generation of the access token; or of the newest, where a late tab was
    // answered last; or of the next, where another page was closed before it read its answer. The server refuses a wrong one (409),
    // and changes nothing: then it is the other's turn.
    record.by = record.tries && record.by !== page ? "several pages" : page;
    record.sent = [seen, record.generation, record.generation + 1][record.tries++ % (record.by === page ? 2 : 3)];
    record.nonces[record.sent] ??= randomNonce();
  });
  return record && `${record.sent}.${record.nonces[record.sent]}`;
}

/** To be called after each refresh that succeeded. */
export const noteRefresh = () => update((record) => { record.tries = 0; });

/** Changes the record of the session in one transaction, which is on disk when the promise is kept. */
async function update(change) {
  const opening = indexedDB.open("nonces", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("sessions");
  const database = await settled(opening);
  const transaction = database.transaction("sessions", "readwrite", { durability: "strict" });
  const written = new Promise((resolve, reject) => Object.assign(transaction, { oncomplete: resolve, onabort: reject }));
  const store = transaction.objectStore("sessions");
  const last = await settled(store.get("last"));
  // A browser may forget the cookies that scripts set, and keep the tokens.
  const { sessionHandle, generation } = accessTokenPayload() || last || {};
  const record = last?.sessionHandle === sessionHandle ? last : { sessionHandle, generation, tries: 0, nonces: {} };
  if (record) {
    record.generation = Math.max(record.generation, generation);
    for (const old in record.nonces) if (old <= record.generation - 3) delete record.nonces[old];
    change(record, generation);
    store.put(record, "last");
  }
  await written;
  database.close();
  return record ?? null;
}

/** The payload of the access token, as the server tells it to scripts. */
function accessTokenPayload() {
  const [, value] = /(?:^|; )sFrontToken=([^;]*)/.exec(document.cookie) ?? [];
  return value && JSON.parse(atob(decodeURIComponent(value))).up;
}

/** 144 random bits in base64url. */
function randomNonce() {
  return btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(18)))).replaceAll("+", "-").replaceAll("/", "_");
}

const settled = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});
