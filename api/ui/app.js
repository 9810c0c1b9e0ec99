// The page under /ui: submits a task and shows the recent ones. It uses the public API and nothing else.

const REFRESH_MS = 2000;
const SHOWN_MAX = 20;

const form = document.querySelector("#submit");
const answer = document.querySelector("#answer");
const recent = document.querySelector("#recent");
const state = document.querySelector("#state");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const response = await fetch("tasks", { method: "POST", body: JSON.stringify(submission(new FormData(form))) });
    const body = await response.json();
    say(response.ok ? `Recorded as ${body.task_id}.` : body.error, !response.ok);
  } catch (error) {
    say(error instanceof SyntaxError ? `The input is no JSON: ${error.message}` : "The server does not answer.", true);
  }
  await refresh();
});

document.addEventListener("visibilitychange", () => document.hidden || refresh());

function submission(fields) {
  const text = fields.get("input");
  const given = { input: fields.has("json") ? JSON.parse(text) : text };
  for (const name of ["kind", "queue"]) {
    if (fields.get(name)) given[name] = fields.get(name);
  }
  return given;
}

function say(text, bad) {
  answer.textContent = text;
  answer.className = bad ? "bad" : "";
}

async function refresh() {
  try {
    const response = await fetch(`tasks?limit=${SHOWN_MAX}`);
    const body = await response.json();
    if (!response.ok) throw new Error(body.error);
    recent.replaceChildren(...body.tasks.map(row));
    state.textContent = body.tasks.length ? `The newest ${body.tasks.length}, as of ${new Date().toLocaleTimeString()}.` : "No tasks in the read model yet.";
  } catch (error) {
    state.textContent = `Not up to date: ${error.message}`;
  }
}

function row(task) {
  const cells = [
    link(`tasks/${task.task_id}`, task.task_id),
    task.kind,
    word(task),
    String(task.attempt),
    new Date(task.created_at).toLocaleString(),
    link(`tasks/${task.task_id}/events`, `${task.version} events`),
  ];
  const line = document.createElement("tr");
  for (const cell of cells) line.insertCell().append(cell);
  return line;
}

function word(task) {
  const status = document.createElement("span");
  status.textContent = task.status;
  status.className = task.status;
  if (task.error) status.title = `${task.error.type}: ${task.error.message}`;
  return status;
}

function link(href, text) {
  const anchor = document.createElement("a");
  anchor.href = href;
  anchor.textContent = text;
  return anchor;
}

await refresh();
setInterval(() => document.hidden || refresh(), REFRESH_MS);
