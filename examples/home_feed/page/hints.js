// What to try next.

/** A sentence that fits where the story stands. `now` is the server's time, `grace` in ms. */
export function hint({ story, now, grace, armed, loggedIn }) {
  if (!loggedIn && !story?.end) return "log in as alice. The password is filled in.";
  if (story.end) return ending(story.end, loggedIn);
  const theft = thiefHint(story, now, grace);
  if (theft) return theft;
  if (armed) return "refresh. The server does its work, and you won't hear of it.";
  const last = story.lastRefresh;
  if (last?.lost) return lostHint(now - last.at, grace);
  return plainHint(story, now);
}

function ending({ decision }, loggedIn) {
  if (decision !== "theft") return "log in again.";
  return loggedIn
    ? "the server can't tell who is who, so both are out. Call the feed, or let the thief try, to see it."
    : "log in again. The thief's tokens stay worthless.";
}

function thiefHint(story, now, grace) {
  const copy = story.newest("thief", "refresh");
  if (!copy) return null;
  if (story.requests.some((request) => request.reason === "nonce_required")) {
    return "the thief's copy is worth nothing without the nonces that your browser keeps. Go on as you like.";
  }
  const stolenAt = story.notes.find((note) => note.kind === "stolen").at;
  const last = story.requests.filter((request) => request.path === "/refresh" && request.at > stolenAt && exchanged(request)).at(-1);
  if (!last) {
    const pause = waiting(copy.issuedAt + 3 * grace - now, "when it may be exchanged");
    return `two clients hold one token now. Refresh yourself, or let the thief refresh${pause}; whoever comes second is noticed.`;
  }
  const byThief = last.by === "thief";
  const used = story.newest(byThief ? "thief" : "you", "access")?.uses.at(0);
  if (!used) {
    return byThief
      ? "the thief has refreshed. Have it call the feed; by that the server sees that its new token arrived."
      : "you have refreshed. Call the feed; by that the server sees that your new token arrived.";
  }
  const pause = waiting(used + grace - now, "when the grace is over");
  return `${byThief ? "refresh yourself" : "let the thief refresh"}${pause}: the second use of one token gives the theft away.`;
}

const exchanged = (request) => request.issued.some((token) => token.token === "refresh");

const waiting = (ms, until) => (ms > 0 ? ` in ${Math.ceil(ms / 1000)} s, ${until}` : "");

function lostHint(age, grace) {
  if (age <= grace) return "refresh again now: within G the same successor is sent once more (rule 8). Later, it's rule 9, then 10.";
  if (age <= 3 * grace) return "refresh again now for rule 9, or wait a little for rule 10.";
  return "refresh again: the answer counts as lost for good, and you get a new successor (rule 10).";
}

function plainHint(story, now) {
  const access = story.newest("you", "access");
  const left = access ? Math.ceil((access.expiresAt - now) / 1000) : 0;
  if (left > 0) return `call the feed. Again after ${left} s, when the access token has expired: the SDK refreshes and repeats the call.`;
  return "call the feed: the access token has expired, so the SDK refreshes and repeats the call. Or lose that answer, or steal the token.";
}
