// Sends what the forms say to the API, in the name of whoever is logged in, and says what came of it.

const root = document.body.dataset.root;
const said = document.querySelector("#said");
const formToken = document.querySelector('meta[name="form-token"]')?.content;

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.matches("[data-api]")) {
    event.preventDefault();
    await act(form, event.submitter);
  } else if (form.matches("[data-submit]")) {
    event.preventDefault();
    await submit(form);
  }
});

// A button that is pressed before this listens would only load the page again, so until then none can be (style.css).
document.body.dataset.ready = "";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = button.dataset.copy.replace("{base}", new URL(root, location.href).href);
  await navigator.clipboard.writeText(text);
  say(`Copied: ${text}`);
});

document.querySelector("[data-copy-secret]")?.addEventListener("click", async (event) => {
  await navigator.clipboard?.writeText(document.querySelector("[data-secret]").textContent);
  event.target.textContent = navigator.clipboard ? "Copied" : "Copy it by hand: it is selected";
});

document.querySelector("[data-find]")?.form.addEventListener("submit", (event) => {
  const wanted = document.querySelector("[data-find]").value.trim();
  if (/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(wanted)) {
    event.preventDefault();
    location.href = `${root}ui/tasks/${wanted.toLowerCase()}`;
  }
});

async function act(form, submitter) {
  if (form.dataset.confirm && !confirm(form.dataset.confirm)) return;
  const body = { ...JSON.parse(form.dataset.body || "{}"), ...JSON.parse(submitter?.dataset.body || "{}"), ...fieldsOf(form) };
  const [method, pattern] = form.dataset.api.split(" ");
  const answer = await send(method, filled(pattern, body), body);
  if (!answer) return;
  if (answer.secret) await showSecret(answer.secret);
  say(outcome(answer));
  if (answer.dry_run) return;
  if (form.dataset.then) {
    location.href = root + filled(form.dataset.then, answer);
    return;
  }
  form.reset();
  form.closest("details[data-kept]")?.removeAttribute("open");
  document.activeElement?.blur();
  document.dispatchEvent(new Event("page:refresh"));
}

function fieldsOf(form) {
  // What is left empty is left out; `filter.kind` stands within `filter`, and ticks of one name make an array.
  const fields = {};
  for (const field of form.elements) {
    const isTick = field.type === "checkbox";
    if (!field.name || !field.value || (isTick && !field.checked)) continue;
    const [outer, inner] = field.name.split(".");
    const place = inner ? (fields[outer] ??= {}) : fields;
    const value = isNumber(field) ? Number(field.value) : field.value;
    if (isTick) (place[inner ?? outer] ??= []).push(value);
    else place[inner ?? outer] = value;
  }
  return fields;
}

function isNumber(field) {
  return field.type === "number" || (field.matches("[data-number]") && /^\d+$/.test(field.value));
}

function filled(pattern, values) {
  // A value that stands in the path is not sent in the body as well.
  return pattern.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name] ?? "";
    delete values[name];
    return encodeURIComponent(value);
  });
}

async function showSecret(secret) {
  // It stands in the page only while it is shown.
  const dialog = document.querySelector("#secret");
  const place = dialog.querySelector("[data-secret]");
  const forget = () => place.replaceChildren();
  place.textContent = secret;
  addEventListener("pagehide", forget, { once: true });
  dialog.showModal();
  getSelection().selectAllChildren(place);
  await new Promise((closed) => dialog.addEventListener("close", closed, { once: true }));
  forget();
}

function outcome(answer) {
  if (answer.dry_run) return `There are ${answer.count}.`;
  if (answer.bulk_id) return `Asked for: ${answer.count} will follow.`;
  if (answer.count !== undefined) return `Recorded: ${answer.count} will follow.`;
  if (answer.outcome === "queued") return "Queued: the scheduler sends it.";
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
  const isEmpty = !Object.keys(body).length;
  const inQuery = method === "DELETE" && !isEmpty ? `?${new URLSearchParams(body)}` : "";
  try {
    const sent = method === "DELETE" || isEmpty ? undefined : JSON.stringify(body);
    const response = await fetch(`${root}${path}${inQuery}`, { method, headers, body: sent });
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
