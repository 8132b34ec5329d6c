"use strict";
(() => {
  const root = document.documentElement;
  const plots = [...document.querySelectorAll(".plot")];

  function theme() {
    const style = getComputedStyle(root);
    const color = (name) => style.getPropertyValue(name).trim();
    const axis = {
      gridcolor: color("--rule"), linecolor: color("--soft"), zerolinecolor: color("--rule"), zerolinewidth: 1,
      gridwidth: 0.5, tickcolor: color("--soft"), ticks: "outside", ticklen: 4, showline: true, automargin: true,
    };
    return { layout: {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, dragmode: false,
      hovermode: "closest", margin: { l: 10, r: 12, t: 12, b: 10 },
      font: { family: color("--sans"), size: 12, color: color("--ink") },
      xaxis: { ...axis, showgrid: false }, yaxis: axis,
      hoverlabel: { bgcolor: color("--paper"), bordercolor: color("--soft"), align: "left", namelength: -1,
        font: { family: color("--sans"), size: 12, color: color("--ink") } },
    } };
  }

  const options = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: "reset" };
  for (const plot of plots) {
    const figure = JSON.parse(plot.querySelector("script").textContent);
    plot.replaceChildren();
    Plotly.newPlot(plot, figure.data, { ...figure.layout, template: theme() }, options);
  }
  const restyle = () => plots.forEach((plot) => Plotly.relayout(plot, { template: theme() }));
  for (const media of ["(prefers-color-scheme: dark)", "print"]) matchMedia(media).addEventListener("change", restyle);

  for (const button of document.querySelectorAll(".legend button")) {
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") === "false";
      button.setAttribute("aria-pressed", String(shown));
      for (const plot of button.closest("figure").querySelectorAll(".plot")) {
        const traces = plot.data.flatMap((trace, i) => (trace.legendgroup === button.dataset.group ? [i] : []));
        if (traces.length) Plotly.restyle(plot, { visible: shown }, traces);
      }
    });
  }

  for (const figure of document.querySelectorAll(".slides")) {
    const steps = [...figure.querySelectorAll(".slide")];
    const control = figure.querySelector(".slider");
    const range = control.querySelector("input");
    const show = () => {
      steps.forEach((step, i) => { step.hidden = i !== Number(range.value); });
      const step = steps[range.value];
      control.querySelector("output").textContent = step.dataset.label;
      step.querySelectorAll(".plot").forEach((plot) => Plotly.Plots.resize(plot));
    };
    control.hidden = false;
    figure.classList.add("one");
    range.addEventListener("input", show);
    show();
  }

  function compare(a, b) {
    if (a === "" || b === "") return (a === "") - (b === "");
    const numbers = [Number(a), Number(b)];
    return numbers.some(Number.isNaN) ? a.localeCompare(b, "en", { numeric: true }) : numbers[0] - numbers[1];
  }
  for (const header of document.querySelectorAll("th")) {
    header.firstElementChild.addEventListener("click", () => {
      const up = header.getAttribute("aria-sort") !== "ascending";
      for (const other of header.parentElement.children) other.setAttribute("aria-sort", "none");
      header.setAttribute("aria-sort", up ? "ascending" : "descending");
      const body = header.closest("table").tBodies[0];
      const key = (row) => row.cells[header.cellIndex].dataset.order;
      const empty = (row) => key(row) === "";
      const sorted = [...body.rows].sort((a, b) =>
        empty(a) || empty(b) ? empty(a) - empty(b) : (up ? 1 : -1) * compare(key(a), key(b)));
      body.append(...sorted);
    });
  }

  const folded = [...document.querySelectorAll("details")];
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = folded.filter((entry) => !entry.open);
    closed.forEach((entry) => { entry.open = true; });
    restyle();
    for (const plot of plots) {
      Plotly.relayout(plot, plot.closest(".many") ? { width: 205, height: 180 } : { width: 660, height: 250 });
    }
  });
  addEventListener("afterprint", () => {
    closed.forEach((entry) => { entry.open = false; });
    plots.forEach((plot) => Plotly.relayout(plot, { width: null, height: null, autosize: true }));
    restyle();
  });
})();
