// The tokens of a story as a table: the timeline for those who can't see it.

import { isExpired } from "./story.js";
import { span } from "./timeline.js";

/** Fills the table's `body`; `now` is the server's time. */
export function fill(body, story, now) {
  const time = (at) => span(at - story.begin);
  body.replaceChildren(...story.tokens.map((token) => row([
    `${token.token}, generation ${token.generation}`,
    token.holder === "thief" ? "the thief" : "you",
    time(token.at),
    token.uses.length === 0 ? "never" : token.uses.map(time).join(", "),
    token.expiresAt ? time(token.expiresAt) : "in 100 days, or once exchanged",
    token.fate ?? (isExpired(token, now) ? "expired" : "in use"),
  ])));
}

function row(cells) {
  const row = document.createElement("tr");
  cells.forEach((text, index) => {
    const cell = document.createElement(index === 0 ? "th" : "td");
    if (index === 0) cell.scope = "row";
    cell.textContent = text;
    row.append(cell);
  });
  return row;
}
