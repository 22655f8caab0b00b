// What a person does on a page: sees, waits, presses and confirms.
window.until = async (holds, what) => {
  const began = performance.now();
  while (!holds()) {
    if (performance.now() - began > 20000) throw new Error("never: " + what);
    await new Promise((done) => setTimeout(done, 20));
  }
  return performance.now() - began;
};
window.confirmed = async () => {
  const dialog = document.getElementById("confirm");
  await until(() => dialog.open, "a question");
  const question = document.getElementById("question").textContent;
  dialog.querySelector('button[value="yes"]').click();
  return question;
};
window.shown = async () => {
  const toast = document.getElementById("toast");
  const secret = document.getElementById("shown");
  await until(() => toast.className || secret.open, "a result");
  const result = secret.open ? "secret " + document.getElementById("secret").textContent : toast.className + " " + toast.textContent;
  if (secret.open) secret.querySelector("button").click();
  toast.className = "";
  return result;
};
window.press = async (selector) => {
  await until(() => document.querySelector(selector), selector);
  document.querySelector(selector).click();
  const question = await confirmed();
  return [question, await shown()];
};
window.widths = () => [document.documentElement.scrollWidth, innerWidth, [...document.querySelectorAll("main *")]
  .filter((it) => !it.closest(".scroll, svg, dialog") && it.getBoundingClientRect().right > innerWidth + 1)
  .map((it) => it.outerHTML.slice(0, 120))];
