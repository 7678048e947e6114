// What the notes of the server add up to: the tokens of one session, each with its life.

export class Story {
  constructor(session) {
    this.session = session;
    this.notes = [];
    this.tokens = [];
    this.requests = [];
    this.decisions = [];
    this.end = null;
    this.seen = new Set();
  }

  /** Takes a note; returns whether it was new and belongs to this session. */
  add(note) {
    if (note.session !== this.session || (note.id && this.seen.has(note.id))) return false;
    if (note.id) this.seen.add(note.id);
    this.notes.push(note);
    if (note.kind === "request") this.#request(note);
    else if (note.kind === "stolen") this.#stolen(note);
    else this.#decision(note);
    return true;
  }

  get begin() {
    return Math.min(...this.notes.map((note) => note.at));
  }

  get lastAt() {
    return Math.max(...this.notes.map((note) => note.at));
  }

  /** The names of the tabs that made requests. */
  get tabs() {
    return [...new Set(this.requests.map((request) => request.by).filter((by) => by !== "thief"))].sort();
  }

  get hasThief() {
    return this.tokens.some((token) => token.holder === "thief");
  }

  /** The newest token of a kind that a holder has and that did not get lost. */
  newest(holder, kind) {
    return this.tokens.filter((token) => token.holder === holder && token.token === kind && !token.lost).at(-1);
  }

  get lastRefresh() {
    return this.requests.filter((request) => request.path === "/refresh" && request.by !== "thief").at(-1);
  }

  #request(note) {
    this.requests.push(note);
    const holder = note.by === "thief" ? "thief" : "you";
    const presented = note.presented && this.#find(holder, note.presented);
    presented?.uses.push(note.at);
    for (const issued of note.issued) this.#issue(holder, issued, note);
  }

  #issue(holder, issued, { at, lost }) {
    const known = this.#find(holder, issued);
    if (known && (known.lost || lost)) {
      // The successor that got lost, once more.
      known.lost &&= lost;
      if (!lost) known.fate = "the answer was lost; sent again by rule 8";
      return;
    }
    if (known) return;
    this.#supersede(holder, issued, at, lost);
    this.tokens.push({ ...issued, holder, at: issued.issuedAt, until: null, uses: [], lost, fate: lost ? "the answer was lost" : null });
  }

  /** A newer token of the same kind takes the place of the one before. */
  #supersede(holder, { token, generation }, at, lost) {
    if (lost) return;
    for (const older of this.tokens) {
      if (older.token !== token || older.holder !== holder || older.until || isExpired(older, at)) continue;
      older.until = at;
      if (token === "access") older.fate ??= "replaced by a newer one";
      else older.fate = older.lost ? "the answer was lost; dead since rule 10" : `exchanged for generation ${generation}`;
    }
  }

  #stolen({ at, generation }) {
    const victim = this.newest("you", "refresh");
    const copy = { token: "refresh", generation, issuedAt: victim?.issuedAt ?? at, expiresAt: null };
    this.tokens.push({ ...copy, holder: "thief", at, until: null, uses: [], lost: false, fate: "copied from you" });
  }

  #decision(note) {
    this.decisions.push(note);
    if (["theft", "ended", "expired"].includes(note.decision)) {
      this.end ??= { at: note.at, ...note };
      for (const token of this.tokens) token.fate ??= isExpired(token, note.at) ? "expired" : "the session ended";
    }
  }

  #find(holder, { token, generation, issuedAt, expiresAt }) {
    return this.tokens.find((known) => known.holder === holder && known.token === token && known.generation === generation
      && known.issuedAt === issuedAt && known.expiresAt === expiresAt);
  }
}

/** Whether a token has expired at a time; refresh tokens are spent long before. */
export const isExpired = ({ expiresAt }, at) => expiresAt !== null && expiresAt <= at;
