"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));
  const one = (selector) => document.querySelector(selector);
  root.classList.add("js");

  // before and after
  const images = one("#images");
  const pressed = (id, on) => { const button = one(id); if (button) button.setAttribute("aria-pressed", String(on)); };
  let timer = 0;
  const show = (before) => {
    images.classList.toggle("showing-before", before);
    pressed("#show-before", before);
    pressed("#show-after", !before);
  };
  const turn = () => show(!images.classList.contains("showing-before"));
  const rest = () => { clearInterval(timer); timer = 0; pressed("#blink", false); };
  const blink = () => {
    if (timer) { rest(); show(false); return; }
    timer = setInterval(turn, 700);
    pressed("#blink", true);
    turn();
  };
  const large = () => pressed("#large", images.classList.toggle("large-pictures"));
  if (images) {
    one("#show-before").addEventListener("click", () => { rest(); show(true); });
    one("#show-after").addEventListener("click", () => { rest(); show(false); });
    one("#blink").addEventListener("click", blink);
    one("#large").addEventListener("click", large);
    all(".pairs .stage", images).forEach((stage) => stage.addEventListener("click", () => { rest(); turn(); }));
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, input, textarea")) return;
      const key = event.key.toLowerCase();
      if (key === "b") { rest(); turn(); }
      if (key === "a") blink();
    });
  }

  // planes and channels
  const choices = all(".choose select");
  const choose = () => {
    all("[data-plane], [data-channel]").forEach((part) => {
      const away = choices.some((choice) => {
        const own = part.getAttribute("data-" + choice.dataset.what);
        return own !== null && own !== choice.value;
      });
      part.classList.toggle("away", away);
    });
  };
  choices.forEach((choice) => choice.addEventListener("change", choose));
  choose();

  // which frame is under the pointer
  const charts = all(".time");
  const point = (event) => {
    const figure = event.currentTarget;
    const box = figure.querySelector(".plot").getBoundingClientRect();
    const part = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    const count = Number(figure.dataset.count);
    const frame = Math.min(Math.floor(part * count), count - 1);
    const rate = Number(figure.dataset.rate);
    const text = "frame " + frame.toLocaleString("en") + (rate > 0 ? " · " + (frame / rate).toFixed(2) + " s" : "");
    const at = (100 * (frame + 0.5)) / count + "%";
    all(".time .cursor").forEach((line) => { line.setAttribute("x1", at); line.setAttribute("x2", at); });
    all(".readout").forEach((place) => { place.textContent = text; });
    root.classList.add("pointing");
  };
  charts.forEach((figure) => {
    figure.addEventListener("pointermove", point);
    figure.addEventListener("pointerdown", point);
    figure.addEventListener("pointerleave", () => root.classList.remove("pointing"));
  });

  // copying, and where a browser forbids it: selecting
  const select = (text) => {
    const range = document.createRange();
    range.selectNodeContents(text);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  };
  all(".copy").forEach((button) => button.addEventListener("click", async () => {
    const text = button.closest(".copyable").querySelector("code");
    let said = "Copied";
    try {
      await navigator.clipboard.writeText(text.textContent.trimEnd());
    } catch {
      select(text);
      let done = false;
      try { done = document.execCommand("copy"); } catch { done = false; }
      if (!done) said = "Selected: press Ctrl+C";
    }
    button.textContent = said;
    setTimeout(() => { button.textContent = "Copy"; }, 2500);
  }));
})();
