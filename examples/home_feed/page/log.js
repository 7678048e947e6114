// The log: what happened, in sentences.

/** Adds a note to the log `list`, and shows it. */
export function append(list, note, begin) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = `${((note.at - begin) / 1000).toFixed(1)} s`;
  item.className = kind(note);
  item.append(time, " ", text(note));
  const isAtEnd = list.scrollTop + list.clientHeight > list.scrollHeight - 40;
  list.append(item);
  if (isAtEnd) list.scrollTop = list.scrollHeight;
}

function kind(note) {
  if (note.kind === "request") return note.status < 400 && !note.lost ? "request" : "request refused";
  return note.kind === "stolen" || note.decision === "theft" ? "bad" : "decision";
}

function text(note) {
  switch (note.kind) {
    case "request": {
      const reason = note.reason ? ` ${note.reason.replaceAll("_", " ")}` : "";
      return `${note.by}: ${note.method} ${note.path} → ${note.status}${reason}${note.lost ? ", but the answer was lost" : ""}`;
    }
    case "stolen":
      return `A thief copied the refresh token of generation ${note.generation}.`;
    default:
      return `Server: ${note.sentence}`;
  }
}
