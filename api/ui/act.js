// Sends what the forms say to the API, in the name of whoever is logged in, and says what came of it.

const root = document.body.dataset.root;
const said = document.querySelector("#said");
const formToken = document.querySelector('meta[name="form-token"]')?.content;

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.matches("[data-api]")) {
    event.preventDefault();
    await act(form);
  } else if (form.matches("[data-submit]")) {
    event.preventDefault();
    await submit(form);
  }
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = button.dataset.copy.replace("{base}", new URL(root, location.href).href);
  await navigator.clipboard.writeText(text);
  say(`Copied: ${text}`);
});

document.querySelector("[data-find]")?.form.addEventListener("submit", (event) => {
  const wanted = document.querySelector("[data-find]").value.trim();
  if (/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(wanted)) {
    event.preventDefault();
    location.href = `${root}ui/tasks/${wanted.toLowerCase()}`;
  }
});

async function act(form) {
  if (form.dataset.confirm && !confirm(form.dataset.confirm)) return;
  const [method, path] = form.dataset.api.split(" ");
  const fields = Object.fromEntries([...new FormData(form)].filter(([, value]) => value));
  const body = { ...JSON.parse(form.dataset.body || "{}"), ...fields };
  const answer = await send(method, path, Object.keys(body).length ? body : undefined);
  if (answer) {
    say(outcome(answer));
    document.activeElement?.blur();
    document.dispatchEvent(new Event("page:refresh"));
  }
}

function outcome(answer) {
  if (answer.dry_run) return `There are ${answer.count}.`;
  if (answer.bulk_id) return `Asked for: ${answer.count} will follow.`;
  if (answer.count !== undefined) return `Recorded: ${answer.count} will follow.`;
  return answer.state === "queued" ? "Asked for: it begins within seconds." : "Done.";
}

async function submit(form) {
  const fields = new FormData(form);
  const text = fields.get("input");
  let given;
  try {
    given = { input: fields.has("json") ? JSON.parse(text) : text };
  } catch (error) {
    say(`The input is no JSON: ${error.message}`, true);
    return;
  }
  for (const name of ["kind", "queue"]) if (fields.get(name)) given[name] = fields.get(name);
  const tags = (fields.get("tags") || "").split(",").map((tag) => tag.trim()).filter(Boolean);
  if (tags.length) given.tags = tags;
  const answer = await send("POST", "tasks", given);
  if (answer) location.href = `${root}ui/tasks/${answer.task_id}`;
}

async function send(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  if (formToken) headers["X-Form-Token"] = formToken;
  try {
    const response = await fetch(`${root}${path}`, { method, headers, body: body && JSON.stringify(body) });
    const answer = response.status === 204 ? {} : await response.json();
    if (response.ok) return answer;
    say(answer.error || `The server answered ${response.status}.`, true);
  } catch {
    say("The server does not answer.", true);
  }
  return undefined;
}

function say(text, bad = false) {
  said.textContent = text;
  said.className = bad ? "bad" : "";
}
