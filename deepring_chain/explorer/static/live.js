// Asks for the page again and again and puts what changed in its place. The server renders and escapes everything;
// a page that did not change costs an empty answer (304). Without this file the page reloads itself instead.
const SECONDS_SEEN = 0.4;
const SECONDS_HIDDEN = 5;
const GIVE_UP_SECONDS = 15;
let version = null;

function keepOpen(fresh) {
  for (const details of document.querySelectorAll("details[id][open]")) {
    fresh.getElementById(details.id)?.setAttribute("open", "");
  }
}

function isBeingSelected(element) {
  const selection = getSelection();
  return !selection.isCollapsed && selection.containsNode(element, true);
}

function replace(old, fresh) {
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const place = focused ? [...old.querySelectorAll("a, summary")].indexOf(focused) : -1;
  old.replaceWith(document.adoptNode(fresh));
  if (place >= 0) fresh.querySelectorAll("a, summary")[place]?.focus({ preventScroll: true });
}

function show(fresh) {
  keepOpen(fresh);
  document.title = fresh.title;
  for (const old of document.querySelectorAll("[data-live]")) {
    const found = fresh.getElementById(old.id);
    if (found && found.outerHTML !== old.outerHTML && !isBeingSelected(old)) replace(old, found);
  }
  for (const old of document.querySelectorAll("[data-live-text]")) {
    const found = fresh.getElementById(old.id);
    if (found && found.textContent !== old.textContent) old.textContent = found.textContent;
  }
}

async function look() {
  const headers = version ? { "If-None-Match": version } : {};
  const signal = AbortSignal.timeout(GIVE_UP_SECONDS * 1000);
  const answer = await fetch(location.href, { headers, signal, cache: "no-store" });
  if (answer.status === 304) return;
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const text = await answer.text();
  show(new DOMParser().parseFromString(text, "text/html"));
  version = answer.headers.get("ETag");
}

async function follow() {
  const gone = document.getElementById("gone");
  try {
    await look();
    if (gone) gone.hidden = true;
  } catch {
    if (gone) gone.hidden = false;
  }
  setTimeout(follow, 1000 * (document.hidden ? SECONDS_HIDDEN : SECONDS_SEEN));
}

follow();
