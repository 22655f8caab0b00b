// Keeps a page up to date, and has each change asked about once.
"use strict";

const byId = (id) => document.getElementById(id);
const page = document.body.dataset.page;
const csrf = document.querySelector('meta[name="csrf"]')?.content;

// Someone types in it, or selects a part of it: it is replaced later.
const waiting = new Map();
function isUsed(section) {
  const active = document.activeElement;
  const selection = document.getSelection();
  return (section.contains(active) && active.matches("input")) ||
    (!selection.isCollapsed && section.contains(selection.anchorNode));
}

function put(id, html) {
  const section = byId(id);
  if (!section?.hasAttribute("data-live")) return;
  if (isUsed(section)) {
    waiting.set(id, html);
    return;
  }
  waiting.delete(id);
  const focused = section.contains(document.activeElement)
    ? document.activeElement.dataset.post : undefined;
  const scrolled = [...section.querySelectorAll(".scroll")].map((it) => it.scrollLeft);
  section.innerHTML = html;
  section.querySelectorAll(".scroll").forEach((it, at) => { it.scrollLeft = scrolled[at] ?? 0; });
  if (focused) {
    [...section.querySelectorAll("[data-post]")].find((it) => it.dataset.post === focused)?.focus();
  }
}

for (const event of ["focusout", "mouseup", "keyup"]) {
  document.addEventListener(event, () => setTimeout(() => {
    for (const [id, html] of waiting) put(id, html);
  }));
}

// A browser has few connections to one host: a page that no one sees gives its own back.
let source;
function follow() {
  if (!page || source || document.hidden) return;
  source = new EventSource("/api/v1/events?page=" + encodeURIComponent(page));
  source.onopen = () => connection("live", "ok");
  source.onerror = () => connection("not connected", "critical");
  source.onmessage = (event) => {
    const { id, html } = JSON.parse(event.data);
    put(id, html);
  };
}
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) return follow();
  source?.close();
  source = undefined;
});
function connection(text, kind) {
  const shown = byId("connection");
  if (shown) [shown.textContent, shown.className] = [text, kind];
}

function toast(text, kind) {
  const shown = byId("toast");
  [shown.textContent, shown.className] = [text, kind];
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { shown.className = ""; }, 8000);
}

function ask(question) {
  if (!question) return Promise.resolve(true);
  const dialog = byId("confirm");
  byId("question").textContent = question;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
  });
}

async function change(element, body) {
  if (!csrf) {
    location.href = "/login?next=" + encodeURIComponent(page);
    return;
  }
  const { post, method, asks, then } = element.dataset;
  if (!(await ask(asks && filled(asks, element)))) return;
  try {
    const response = await fetch(post, {
      method: method ?? "POST",
      headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
      body: JSON.stringify(body),
    });
    if (response.status === 401) location.href = "/login?next=" + encodeURIComponent(page);
    if (response.ok && then) location.href = then;
    const answer = response.status === 204 ? {} : await response.json();
    if (!response.ok) toast(answer.error ?? "It failed with status " + response.status + ".", "critical");
    else if (answer.secret) show(answer.secret);
    else toast("Done.", "ok");
    if (response.ok && element.matches("form.row")) element.reset();
  } catch {
    toast("The gateway does not respond.", "critical");
  }
}

// What a question names of the form that it is about.
function filled(question, form) {
  const value = (type) => form.querySelector(`input[type="${type}"]`)?.value ?? "";
  return question.replace("{limit}", value("number")).replace("{name}", form.elements?.name?.value ?? "");
}

// The secret of a key is shown once: only the gateway's caller keeps it.
function show(secret) {
  byId("secret").textContent = secret;
  byId("shown").showModal();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.fill) {
    button.form.querySelector('input[type="number"]').value = button.dataset.fill;
    button.form.requestSubmit();
  }
  if (button.dataset.post) change(button, JSON.parse(button.dataset.body ?? "{}"));
});
document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-post]");
  if (!form) return;
  event.preventDefault();
  document.activeElement.blur();
  const body = JSON.parse(form.dataset.body);
  for (const field of form.querySelectorAll("input[name]")) {
    if (field.value === "") continue;
    // `a.b` is the field `b` of the object `a`.
    const path = field.name.split(".");
    const last = path.pop();
    const inner = path.reduce((object, name) => (object[name] ??= {}), body);
    inner[last] = field.type === "number" ? field.valueAsNumber : field.value;
  }
  change(form, body);
});

// The address that is printed at the start has the token where no server sees it.
const token = byId("token");
if (token && location.hash.length > 1) {
  token.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname + location.search);
}
follow();
