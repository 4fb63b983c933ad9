"use strict";
(function () {
  const trouble = document.getElementById("trouble");
  function tell(message) {
    trouble.hidden = false;
    trouble.textContent = "A figure could not be drawn: " + message;
  }
  window.addEventListener("error", (event) => tell(event.message));
  window.addEventListener("unhandledrejection", (event) => tell(String(event.reason)));
  document.addEventListener("securitypolicyviolation", (event) => tell(event.violatedDirective + " " + event.blockedURI));

  const figures = JSON.parse(document.getElementById("figures").textContent);
  const config = {
    displayModeBar: false,
    responsive: true,
  };
  const drawn = new Set();

  function view(key, shares) {
    const figure = figures[key];
    const title = shares ? figure.share : figure.layout.xaxis.title.text;
    return { barnorm: shares ? "percent" : "", "xaxis.title.text": title, "xaxis.autorange": true };
  }

  function draw(plot) {
    const figure = figures[plot.id];
    if (!figure || drawn.has(plot)) return;
    drawn.add(plot);
    // a copy: Plotly writes ranges and templates into the layout it is given
    const layout = structuredClone(figure.layout);
    if (plot.clientWidth < 700) layout.height += 18 * figure.data.length; // the legend then takes a line for each name
    Plotly.newPlot(plot, figure.data, layout, config).then(() => {
      const box = document.querySelector('[data-share="' + plot.id + '"]');
      return box && box.checked ? Plotly.relayout(plot, view(plot.id, true)) : null;
    });
  }

  function drawWithin(element) {
    for (const plot of element.querySelectorAll(".plot")) {
      const fold = plot.closest("details");
      if (!fold || fold.open) draw(plot);
    }
  }

  for (const box of document.querySelectorAll("[data-share]")) {
    box.addEventListener("change", () => {
      Plotly.relayout(document.getElementById(box.dataset.share), view(box.dataset.share, box.checked));
    });
  }
  for (const button of document.querySelectorAll("[data-image]")) {
    button.addEventListener("click", () => {
      const plot = document.getElementById(button.dataset.image);
      Plotly.downloadImage(plot, { format: "svg", filename: plot.id, width: plot.clientWidth, height: plot.clientHeight });
    });
  }
  for (const fold of document.querySelectorAll("details")) {
    fold.addEventListener("toggle", () => fold.open && drawWithin(fold));
  }
  // paper is narrower than most windows, and a drawing keeps its width until it is told another
  window.addEventListener("beforeprint", () => drawn.forEach((plot) => Plotly.relayout(plot, { width: 680 })));
  window.addEventListener("afterprint", () => drawn.forEach((plot) => Plotly.relayout(plot, { width: null, autosize: true })));
  drawWithin(document);
})();
