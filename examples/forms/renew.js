// Exchanges the refresh token, which no page can see and no link can send, and goes back to where the browser came from.

const status = document.getElementById("renewing");
const { to, login } = status.dataset;

try {
  const answer = await fetch("/session/refresh", { method: "POST" });
  if (answer.ok) location.replace(to);
  else if (answer.status === 401) location.replace(login);
  else failed();
} catch {
  failed();
}

function failed() {
  status.textContent = "Your session could not be renewed just now; it is not lost. ";
  const again = document.createElement("a");
  again.href = location.href;
  again.textContent = "Try again";
  status.append(again);
}
