// The keyboard: / finds, j and k go through the rows, Enter opens, g and a number or a letter change the page, ? tells of the keys.

const help = document.querySelector("#help");
const menuKeys = [...document.querySelectorAll("nav a[data-key]")].map((link) => link.dataset.key);
let going = false;

document.querySelector("[data-help]").addEventListener("click", () => help.showModal());

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.matches("input, textarea, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const go = going;
  going = event.key === "g";
  if (go && /^[1-9]$/.test(event.key)) {
    document.querySelectorAll("nav a")[Number(event.key) - 1]?.click();
  } else if (go && menuKeys.includes(event.key)) {
    document.querySelector(`nav a[data-key="${event.key}"]`).click();
  } else if (event.key === "/") {
    event.preventDefault();
    document.querySelector("[data-find]").focus();
  } else if (event.key === "?") {
    help.showModal();
  } else if (event.key === "r") {
    document.dispatchEvent(new Event("page:refresh"));
  } else if (event.key === "j" || event.key === "k") {
    choose(event.key === "j" ? 1 : -1);
  } else if (event.key === "Enter" && !event.target.matches(":is(a, button, summary):not(dialog *)")) {
    // A dialog that was just closed may have the focus for one more frame.
    document.querySelector("tr.chosen a")?.click();
  }
});

function choose(step) {
  const rows = [...document.querySelectorAll("[data-rows] tbody tr")];
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.classList.contains("chosen"));
  const next = Math.min(Math.max(at + step, 0), rows.length - 1);
  rows[at]?.classList.remove("chosen");
  rows[next].classList.add("chosen");
  rows[next].scrollIntoView({ block: "nearest" });
}
