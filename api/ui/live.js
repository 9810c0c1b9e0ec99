// Brings what a page marks as live up to date: it listens to the log, and asks for the same page again. What is
// marked as a beat costs more than it moves: it only looks every few seconds.
// A server that restarts, or a stream that ends, is no trouble: the browser comes back with the last id it got.

const SETTLE_MS = 250;
const WITHOUT_EVENTS_MS = 5000;

const root = document.body.dataset.root;
let due = 0;
let asked = "";

start();
document.addEventListener("visibilitychange", () => document.hidden || refresh());
document.addEventListener("page:refresh", refresh);

function start() {
  const live = document.querySelector("[data-live]");
  if (!live) return;
  setInterval(() => document.hidden || soon(), WITHOUT_EVENTS_MS);
  if (live.dataset.live !== "beat") listen(live.dataset);
}

function listen({ task, after }) {
  const stream = new EventSource(root + (task ? `tasks/${task}/stream?after=${after}` : "events/stream"));
  for (const kind of ["submitted", "released", "held", "started", "progressed", "completed", "failed", "cancel_requested", "cancelled", "retried", "discarded", "erased"]) {
    stream.addEventListener(`task.${kind}`, soon);
  }
  stream.addEventListener("closed", () => {  // the key or the session is over: the page asks to log in
    stream.close();
    location.reload();
  });
}

function soon() {
  if (due || document.hidden) return;
  due = setTimeout(refresh, SETTLE_MS);
}

export async function refresh() {
  clearTimeout(due);
  due = 0;
  asked = location.href;
  const wanted = asked;
  try {
    const response = await fetch(wanted, { headers: { Accept: "text/html" } });
    if (!response.ok || response.redirected || wanted !== location.href) return;
    swap(new DOMParser().parseFromString(await response.text(), "text/html"));
  } catch {
    // The server does not answer: the page stays as it is, and the next event or the next beat asks again.
  }
}

function swap(fresh) {
  stretchSlider(fresh);
  const now = [...document.querySelectorAll("[data-live]")];
  const then = [...fresh.querySelectorAll("[data-live]")];
  now.forEach((part, index) => {
    if (!then[index] || isInUse(part)) return;
    const opened = [...part.querySelectorAll("details")].map((details) => details.open);
    const row = [...part.querySelectorAll("[data-rows] tbody tr")].findIndex((line) => line.classList.contains("chosen"));
    part.replaceChildren(...then[index].childNodes);
    part.querySelectorAll("details").forEach((details, at) => { details.open = opened[at] ?? details.open; });
    if (row >= 0) part.querySelectorAll("[data-rows] tbody tr")[row]?.classList.add("chosen");
  });
}

function stretchSlider(fresh) {
  const now = document.querySelector("[data-past] input");
  const then = fresh.querySelector("[data-past] input");
  if (!now || !then || now.max === then.max) return;
  const followed = now.value === now.max;
  now.max = then.max;
  document.querySelector("[data-past] [data-last]").textContent = then.max;
  if (followed) {
    now.value = then.max;
    document.querySelector("[data-past] output").textContent = then.max;
  }
}

function isInUse(part) {
  // What somebody types into, points at with the keyboard or is about to click is not taken from under their hands.
  if (part.matches(":active")) return true;
  if (part.querySelector("details[data-kept][open]")) return true;
  const active = document.activeElement;
  return active !== document.body && part.contains(active) && active.matches("input, textarea, select, button, summary");
}
