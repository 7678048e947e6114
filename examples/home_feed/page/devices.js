// The list of devices on which the user is logged in.

/** Shows `devices`; `revoke` is called with the handle of the one to log out. */
export function show(list, devices, revoke) {
  list.replaceChildren(...devices.map((device) => item(device, revoke)));
}

function item(device, revoke) {
  const item = document.createElement("li");
  const name = document.createElement("b");
  name.textContent = nameOf(device.userAgent);
  const since = new Date(device.created).toLocaleTimeString();
  item.append(name, ` since ${since} `);
  if (device.current) {
    item.append("(this one)");
  } else {
    const button = document.createElement("button");
    button.textContent = "Log it out";
    button.setAttribute("aria-label", `Log out ${name.textContent}, since ${since}`);
    button.addEventListener("click", () => revoke(device.handle));
    item.append(button);
  }
  return item;
}

function nameOf(userAgent) {
  const known = userAgent?.match(/(Firefox|Edg|OPR|Chrome|Safari|curl|Phone)\/[\d.]+/);
  return known ? known[1].replace("Edg", "Edge").replace("OPR", "Opera") : "Unknown client";
}
