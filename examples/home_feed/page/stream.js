// The stream of what the server decides. It ends with the session.

let source = null;

/** Whether the stream is open. */
export const isOpen = () => source !== null;

/** Opens the stream; needs a valid access token, at the start only. `onRefused` is called where there is none. */
export function open({ onHello, onNote, onEnd, onRefused }) {
  close();
  let welcome = false;
  source = new EventSource("/events");
  source.addEventListener("hello", (event) => {
    welcome = true;
    onHello(JSON.parse(event.data));
  });
  source.addEventListener("note", (event) => onNote(JSON.parse(event.data)));
  source.addEventListener("end", () => {
    close();
    onEnd();
  });
  source.onerror = () => {
    // Otherwise the browser tries again by itself.
    if (source?.readyState !== EventSource.CLOSED) return;
    close();
    if (!welcome) onRefused();
  };
}

function close() {
  source?.close();
  source = null;
}
