// Keeps the status page up to date while one looks: fetches it anew, and changes what has changed.
"use strict";

const EVERY = 5000; // milliseconds

function update(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    old.replaceWith(document.importNode(fresh, true));
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    // What the reader has opened or closed stays so.
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && name !== "open") old.setAttribute(name, value);
  }
  const [before, after] = [[...old.childNodes], [...fresh.childNodes]];
  before.slice(after.length).forEach((node) => node.remove());
  after.forEach((node, i) => {
    if (i < before.length) update(before[i], node);
    else old.append(document.importNode(node, true));
  });
}

async function refresh() {
  const trouble = document.getElementById("trouble");
  try {
    const response = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(EVERY) });
    if (!response.ok) throw new Error(response.status);
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    update(document.querySelector("main"), fresh.querySelector("main"));
    document.title = fresh.title;
    trouble.hidden = true;
  } catch {
    trouble.hidden = false;
  }
}

async function refreshForEver() {
  if (!document.hidden) await refresh();
  setTimeout(refreshForEver, EVERY);
}

document.addEventListener("visibilitychange", () => document.hidden || refresh());
setTimeout(refreshForEver, EVERY);
