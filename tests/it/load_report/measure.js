// Measures the page as it is laid out, and tells what is wrong with it.
(() => {
  const problems = [];
  const slack = 0.75;
  const root = document.documentElement;
  const short = (node) => (node.textContent || "").trim().replace(/\s+/g, " ").slice(0, 40);

  if (root.scrollWidth > root.clientWidth) {
    problems.push(`the page is ${root.scrollWidth} wide in a window of ${root.clientWidth}`);
  }

  // Every mark of a plot is somewhere, and inside its picture.
  const plots = [...document.querySelectorAll("svg.plot")].map((svg) => {
    const view = svg.viewBox.baseVal;
    const inside = (box) =>
      box.x >= -slack && box.y >= -slack &&
      box.x + box.width <= view.width + slack && box.y + box.height <= view.height + slack;
    const title = svg.querySelector("title").textContent;
    const marks = [...svg.querySelectorAll(".mark")];
    for (const mark of [...marks, ...svg.querySelectorAll("text")]) {
      const box = mark.getBBox();
      const what = `${title}: ${mark.getAttribute("class")} ${mark.tagName}`;
      if (!inside(box)) {
        problems.push(`${what} is outside: ${[box.x, box.y, box.width, box.height]} ${short(mark)}`);
      }
      if (!(box.width > 0 || box.height > 0 || mark.tagName === "path")) {
        problems.push(`${what} is nowhere to be seen`);
      }
    }
    const shown = svg.getBoundingClientRect();
    if (shown.width < 250 || Math.abs(shown.width / shown.height - view.width / view.height) > 0.02) {
      problems.push(`${title} is shown as ${shown.width} x ${shown.height}`);
    }
    if (marks.length === 0 && !svg.querySelector(".nothing")) {
      problems.push(`${title} shows nothing and does not say why`);
    }
    const classes = {};
    for (const mark of marks) {
      const name = mark.getAttribute("class").replace("mark ", "");
      classes[name] = (classes[name] || 0) + 1;
    }
    return { title, marks: classes };
  });

  // Every line of text has its own place.
  const lines = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const parent = node.parentElement;
    const hidden = parent.closest("title, desc, style, .unseen, thead");
    if (!node.textContent.trim() || (hidden && getComputedStyle(hidden).position !== "static")) continue;
    if (parent.closest("title, desc, style")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const size = parseFloat(getComputedStyle(parent).fontSize);
    for (const box of range.getClientRects()) {
      if (box.width > 0) lines.push({ box, node, size, parent });
    }
  }
  const crosses = (a, b) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
  lines.sort((a, b) => a.box.top - b.box.top);
  lines.forEach((line, at) => {
    for (let next = at + 1; next < lines.length && lines[next].box.top < line.box.bottom; next += 1) {
      if (lines[next].node !== line.node && crosses(line.box, lines[next].box)) {
        problems.push(`"${short(line.node)}" is written over "${short(lines[next].node)}"`);
      }
    }
    if (line.box.left < 0 || line.box.right > root.clientWidth) {
      problems.push(`"${short(line.node)}" leaves the window`);
    }
  });

  // Every text can be read: the contrast that WCAG asks of small text.
  const channels = (color) => color.match(/[\d.]+/g).map(Number);
  const luminance = (color) => {
    const [red, green, blue] = channels(color).map((channel) => {
      const part = channel / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (channels(color)[3] !== 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const pale = new Set();
  for (const { parent } of lines) {
    const svg = parent.closest("svg");
    // A word in the band of a breaker stands on its own colour.
    const on = svg && /-word$/.test(parent.getAttribute("class"))
      ? getComputedStyle(svg.querySelector("." + parent.getAttribute("class").replace(/-word$/, ""))).fill
      : ground(parent);
    if (!on.startsWith("rgb")) continue;
    const style = getComputedStyle(parent);
    const [light, dark] = [luminance(svg ? style.fill : style.color), luminance(on)].sort((a, b) => b - a);
    const contrast = (light + 0.05) / (dark + 0.05);
    if (contrast < 4.5) pale.add(`"${short(parent)}" has a contrast of ${contrast.toFixed(1)}`);
  }
  problems.push(...pale);

  return { problems, plots, smallest: Math.min(...lines.map((line) =>
    line.size * (line.parent.closest("svg.plot")
      ? line.parent.closest("svg.plot").getBoundingClientRect().width / 360 : 1))) };
})()
