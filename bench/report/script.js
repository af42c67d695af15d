"use strict";
// The page is whole without this: the titles of the marks become tooltips that
// come at once, and one button shows all tables in the place of the plots.
(() => {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "status");
  tip.hidden = true;
  document.body.append(tip);
  for (const title of document.querySelectorAll("g.mark > title")) {
    title.parentNode.dataset.tip = title.textContent;
    title.remove();
  }
  const show = (event) => {
    const mark = event.target.closest && event.target.closest("g.mark");
    tip.hidden = !mark;
    if (!mark) return;
    tip.textContent = mark.dataset.tip;
    const left = Math.min(event.pageX + 14, scrollX + document.documentElement.clientWidth - tip.offsetWidth - 8);
    const above = event.pageY - tip.offsetHeight - 12;
    tip.style.left = Math.max(scrollX + 8, left) + "px";
    tip.style.top = (above > scrollY ? above : event.pageY + 18) + "px";
  };
  document.addEventListener("pointermove", show);
  document.addEventListener("pointerdown", show);
  document.addEventListener("pointerleave", () => { tip.hidden = true; });

  const button = document.createElement("button");
  button.type = "button";
  const tables = document.querySelectorAll("figure > details");
  const before = new Map();
  const label = (on) => {
    button.textContent = on ? "Plots" : "Tables instead of plots";
  };
  button.addEventListener("click", () => {
    const on = document.body.classList.toggle("tables");
    for (const table of tables) {
      if (on) before.set(table, table.open);
      table.open = on || before.get(table);
    }
    label(on);
  });
  if (tables.length > 0) {
    label(false);
    document.querySelector("header.top").append(button);
  }
})();
