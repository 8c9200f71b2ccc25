// Live figures. The pages are whole without this script: it adds a moving rate and renews what is shown.
"use strict";
(() => {
  const POLL_MS = 2000, KEEP_MS = 600000, RATE_MS = 10000, RENEW_MS = 60000;
  const box = document.getElementById("live");
  if (!box || !window.fetch || !window.uPlot) return;
  const rateText = document.getElementById("rate"), rateNote = document.getElementById("rate-note");
  const samples = [{ time: +box.dataset.time, checked: +box.dataset.checked }];
  const points = [[], []];
  const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
  const short = new Intl.NumberFormat("en-US", { notation: "compact" });
  const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium", timeZone: "UTC" });
  let chart = null;

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function draw() {
    if (chart) chart.destroy();
    box.hidden = false;
    const place = document.getElementById("live-chart");
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    chart = new uPlot({
      width: place.clientWidth, height: 160, cursor: { show: false }, legend: { show: false },
      scales: { x: { time: true, range: (_, low, high) => [Math.min(low, high - 60), high] }, y: { range: (_, low, high) => [0, Math.max(10, high * 1.1)] } },
      axes: [{ ...axis, size: 30, values: (_, values) => values.map((value) => clock.format(value * 1000)), space: 70 }, { ...axis, size: 56, values: (_, values) => values.map((value) => short.format(value)) }],
      series: [{}, { stroke: colour("--checks"), width: 2, fill: colour("--checks") + "33", points: { show: false } }],
    }, points, place);
  }

  function add(sample) {
    const last = samples[samples.length - 1];
    // Workers answer in turn, each with what it read last; and totals begin anew once a day.
    if (sample.time <= last.time) return;
    if (sample.checked < last.checked) samples.length = 0;
    samples.push(sample);
    while (samples.length > 2 && samples[1].time <= sample.time - RATE_MS) samples.shift();
    const first = samples[0], seconds = (sample.time - first.time) / 1000;
    if (seconds <= 0) return;
    const rate = (sample.checked - first.checked) / seconds;
    rateText.textContent = whole.format(rate);
    rateNote.textContent = "in the last seconds";
    points[0].push(sample.time / 1000);
    points[1].push(rate);
    while (points[0][0] < (sample.time - KEEP_MS) / 1000) { points[0].shift(); points[1].shift(); }
    if (chart) chart.setData(points);
    else if (points[0].length > 1) draw();
  }

  async function poll() {
    if (document.hidden) return;
    try {
      const answer = await fetch(box.dataset.address, { cache: "no-store" });
      if (answer.status === 401) { location.assign("/dashboard/sign-in"); return; }
      if (answer.ok) add(await answer.json());
      else rateNote.textContent = "no news from the server";
    } catch {
      rateNote.textContent = "the server cannot be reached";
    }
  }

  async function renew() {
    if (document.hidden) return;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (!answer.ok || answer.redirected) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-refresh]")) {
        const other = fresh.querySelector(`[data-refresh="${part.dataset.refresh}"]`);
        // Nobody's place on the page is taken away.
        if (!other || part.contains(document.activeElement)) continue;
        for (const one of part.querySelectorAll("details[open]")) {
          const twin = one.id && other.querySelector(`#${one.id}`);
          if (twin) twin.open = true;
        }
        part.replaceChildren(...other.childNodes);
      }
    } catch { /* the next time */ }
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart && draw());
  addEventListener("resize", () => chart && chart.setSize({ width: document.getElementById("live-chart").clientWidth, height: 160 }));
  setInterval(poll, POLL_MS);
  setInterval(renew, RENEW_MS);
})();
