// The slider of a task's past: the state after each event, as the slider moves.

let due = 0;

document.addEventListener("input", (event) => {
  const form = event.target.closest("[data-past]");
  if (!form) return;
  form.querySelector("output").textContent = event.target.value;
  const address = new URL(location.href);
  address.searchParams.set("version", event.target.value);
  if (event.target.value === event.target.max) address.searchParams.delete("version");
  history.replaceState(null, "", address);
  clearTimeout(due);
  due = setTimeout(() => document.dispatchEvent(new Event("page:refresh")), 100);
});
