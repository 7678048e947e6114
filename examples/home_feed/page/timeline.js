// Draws a story to scale: tokens as bars, requests and decisions as marks.

const SVG = "http://www.w3.org/2000/svg";
const ROW = 40;
const AXIS = 24;
const MARGIN = 14;

export class Timeline {
  constructor({ svg, scroll, rows }) {
    Object.assign(this, { svg, scroll, rows });
    this.future = this.#layer("future");
    this.past = this.#layer("past");
    this.clip = el("rect", { x: 0, y: 0, height: 2000 });
    const clipPath = el("clipPath", { id: "until-now" });
    clipPath.append(this.clip);
    this.svg.append(clipPath);
    this.past.setAttribute("clip-path", "url(#until-now)");
    this.marks = this.#layer("marks");
    this.now = el("line", { class: "now", y1: 0 });
    this.svg.append(this.now);
    // Follows the present until somebody scrolls away from it, and again once they come back.
    this.follows = true;
    this.followed = 0;
    scroll.addEventListener("scroll", () => {
      if (Math.abs(scroll.scrollLeft - this.followed) > 2) this.follows = Math.abs(scroll.scrollLeft - this.#target()) < 40;
    });
  }

  /** Draws a story anew. `accessLifetime`, in ms, sets the scale. */
  draw(story, accessLifetime) {
    this.story = story;
    this.pixelsPerMs = Math.min((this.scroll.clientWidth < 500 ? 120 : 220) / accessLifetime, 0.04);
    this.begin = story.begin;
    const rows = rowsOf(story);
    this.height = AXIS + rows.length * ROW;
    this.rows.replaceChildren(...rows.map(label));
    for (const layer of [this.future, this.past, this.marks]) layer.replaceChildren();
    rows.forEach((row, index) => this.#row(row, AXIS + index * ROW));
    this.#decisionLines(rows);
    this.svg.setAttribute("height", this.height);
    this.now.setAttribute("y2", this.height);
    this.svg.querySelector("desc").textContent = describe(story);
  }

  /** Moves the present. */
  tick(now) {
    if (!this.story) return;
    const { end, lastAt } = this.story;
    const shown = end ? Math.min(now, Math.max(end.at, lastAt) + 1500) : now;
    const live = this.story.tokens.filter((token) => token.expiresAt && !end).map((token) => token.expiresAt);
    const width = Math.max(this.#x(Math.max(shown + 3000, ...live)) + MARGIN, this.scroll.clientWidth);
    if (width !== this.width) {
      this.width = width;
      this.svg.setAttribute("width", width);
      this.#axis();
    }
    this.shownX = this.#x(shown);
    this.clip.setAttribute("width", Math.max(this.shownX, 0));
    this.now.setAttribute("x1", this.shownX);
    this.now.setAttribute("x2", this.shownX);
    if (!this.follows) return;
    this.scroll.scrollLeft = this.#target();
    this.followed = this.scroll.scrollLeft;
  }

  /** Where to scroll to for the present to be seen, with some of the past and of the future. */
  #target() {
    const { clientWidth, scrollWidth } = this.scroll;
    return Math.max(0, Math.min(this.shownX - 0.75 * clientWidth, scrollWidth - clientWidth));
  }

  #layer(name) {
    const layer = el("g", { class: name });
    this.svg.append(layer);
    return layer;
  }

  #x(at) {
    return MARGIN + (at - this.begin) * this.pixelsPerMs;
  }

  #row(row, top) {
    this.marks.append(el("line", { class: "rule-line", x1: 0, x2: 100000, y1: top + ROW, y2: top + ROW }));
    for (const token of row.tokens ?? []) this.#token(token, top);
    for (const [request, y] of this.#spread(row.requests, top)) this.#request(request, y);
    for (const [decision, y] of this.#spread(row.decisions, top)) this.#decision(decision, y);
  }

  /** Marks that would hide each other are put one below the other. */
  #spread(marks = [], top) {
    const heaps = [];
    for (const mark of marks) {
      const heap = heaps.at(-1);
      if (heap && mark.at - heap.at(-1).at < 13 / this.pixelsPerMs && heap.length < 3) heap.push(mark);
      else heaps.push([mark]);
    }
    return heaps.flatMap((heap) => heap.map((mark, index) => [mark, top + ROW / 2 + (index - (heap.length - 1) / 2) * 13]));
  }

  #token(token, top) {
    const endOfStory = this.story.end?.at ?? Infinity;
    const until = Math.min(token.until ?? Infinity, token.expiresAt ?? Infinity, endOfStory);
    const x = this.#x(token.at);
    const width = Number.isFinite(until) ? Math.max(this.#x(until) - x, 3) : 100000;
    // The client goes on with the token before a lost one, so both are seen.
    const [y, height] = token.lost ? [top + 22, 14] : [top + 8, ROW - 16];
    const shape = { x, y, width, height, rx: 4, class: tokenClass(token) };
    this.past.append(titled(el("rect", shape), tokenTitle(token)));
    if (token.expiresAt) this.future.append(el("rect", shape));
    const text = el("text", { x: x + 6, y: y + height / 2 + 4, class: "on-bar" }, token.lost ? `g${token.generation} lost` : `g${token.generation}`);
    if (width > 22) this.past.append(text);
    for (const use of token.uses.filter((use) => use <= until)) {
      const at = this.#x(use);
      this.past.append(el("line", { class: "use", x1: at, x2: at, y1: top + 8, y2: top + ROW - 8 }));
    }
  }

  #request(request, y) {
    const x = this.#x(request.at);
    const shape = request.path === "/refresh" ? el("rect", { x: x - 6, y: y - 6, width: 12, height: 12 }) : el("circle", { cx: x, cy: y, r: 6 });
    shape.setAttribute("class", `request ${outcome(request)}`);
    this.marks.append(titled(shape, requestTitle(request, this.begin)));
  }

  #decision(decision, y) {
    const x = this.#x(decision.at);
    const group = el("g", { class: `decision ${decision.decision}` });
    group.append(el("circle", { cx: x, cy: y, r: 10 }), el("text", { x, y: y + 4 }, decisionMark(decision)));
    this.marks.append(titled(group, decision.sentence));
  }

  #decisionLines(rows) {
    const decisions = rows.flatMap((row) => row.decisions ?? []);
    for (const { at, decision } of decisions) {
      const x = this.#x(at);
      this.marks.prepend(el("line", { class: `decision-line ${decision}`, x1: x, x2: x, y1: AXIS, y2: this.height }));
    }
  }

  #axis() {
    this.axis?.remove();
    this.axis = this.#layer("axis");
    const step = niceStep(70 / this.pixelsPerMs);
    for (let time = 0; this.#x(this.begin + time) < this.width; time += step) {
      const x = this.#x(this.begin + time);
      this.axis.append(el("line", { x1: x, x2: x, y1: 16, y2: AXIS }), el("text", { x, y: 12 }, span(time)));
    }
  }
}

function rowsOf(story) {
  // Nobody has an access token whose answer got lost, and nobody will.
  const of = (holder, kind) => story.tokens.filter((token) => token.holder === holder && token.token === kind && !(token.lost && kind === "access"));
  const by = (name) => story.requests.filter((request) => request.by === name);
  const rows = story.tabs.map((name) => ({ name, requests: by(name) }));
  rows.push({ name: "your access", kind: "access", tokens: of("you", "access") });
  rows.push({ name: "your refresh", kind: "refresh", tokens: of("you", "refresh") });
  rows.push({ name: "server", decisions: story.decisions.filter((decision) => decision.decision !== "otherClient") });
  if (story.hasThief) {
    rows.push({ name: "thief", kind: "thief", requests: by("thief") });
    rows.push({ name: "its refresh", kind: "thief", tokens: of("thief", "refresh") });
    rows.push({ name: "its access", kind: "thief", tokens: of("thief", "access") });
  }
  return rows;
}

function label({ name, kind }) {
  const row = document.createElement("div");
  row.textContent = name;
  if (kind) row.className = kind;
  return row;
}

function describe(story) {
  const count = (kind) => story.tokens.filter((token) => token.token === kind).length;
  const end = story.end ? ` It ended: ${story.end.sentence}` : " It goes on.";
  return `${story.requests.length} requests, ${count("access")} access tokens and ${count("refresh")} refresh tokens so far.${end} `
    + "The table of tokens and the log below tell the same.";
}

function tokenClass(token) {
  const state = token.lost ? "lost" : token.until ? "spent" : "live";
  return `token ${token.holder === "thief" ? "thief" : token.token} ${state}`;
}

const tokenTitle = (token) => `${token.token} token, generation ${token.generation}${token.fate ? `: ${token.fate}` : ""}`;

function requestTitle(request, begin) {
  const lost = request.lost ? ", and the answer was lost" : "";
  return `${span(request.at - begin)}: ${request.method} ${request.path} was answered ${request.status}${request.reason ? ` (${request.reason})` : ""}${lost}`;
}

const outcome = (request) => (request.lost ? "lost" : request.status < 400 ? "ok" : "refused");

function decisionMark({ decision, rule }) {
  return rule ?? { created: "in", theft: "!", ended: "out", expired: "out" }[decision] ?? "";
}

/** A time since the beginning, as people write it. */
export function span(ms) {
  const seconds = ms / 1000;
  if (seconds >= 90) return `${Math.floor(seconds / 60)}:${String(Math.round(seconds % 60)).padStart(2, "0")}`;
  return `${seconds >= 10 || Number.isInteger(seconds) ? Math.round(seconds) : seconds.toFixed(1)} s`;
}

const niceStep = (ms) => [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800].map((seconds) => seconds * 1000).find((step) => step >= ms) ?? 3600e3;

function titled(element, text) {
  element.prepend(el("title", {}, text));
  return element;
}

function el(name, attributes = {}, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}
