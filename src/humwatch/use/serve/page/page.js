"use strict";

const DAY = 86400; // seconds
const WORDS = {
  normal: ["sounds normal", "good"],
  alarm: ["sounds wrong", "bad"],
  microphone: ["microphone", "warn"],
  silent: ["silent for too long", "warn"],
  drift: ["to be calibrated", "warn"],
  unheard: ["no clip yet", ""],
};
const machines = new Map(); // name -> { about, day, item }
const alarms = new Map(); // row -> item
let rates = {};
let ahead = 0; // seconds that this clock is ahead of the service's
let told = 0;

const element = (id) => document.getElementById(id);
const made = (template) => element(template).content.firstElementChild.cloneNode(true);
const part = (item, selector) => item.querySelector(selector);
const serviceTime = () => Date.now() / 1000 - ahead;
const seconds = (stamp) => Date.parse(stamp) / 1000;
const named = (name) => name || "clips of no known machine";

function ago(moment) {
  const passed = Math.max(0, serviceTime() - moment);
  if (passed < 90) return `${Math.round(passed)} s ago`;
  if (passed < 5400) return `${Math.round(passed / 60)} min ago`;
  return passed < 2 * DAY ? `${Math.round(passed / 3600)} h ago` : `${Math.round(passed / DAY)} days ago`;
}

function chance(clip) {
  if (clip.p_value === null) return `no score: the microphone is ${clip.microphone}`;
  const share = clip.p_value < 0.1
    ? `1 in ${Math.round(1 / clip.p_value)} normal clips sounds`
    : `${Math.round(100 * clip.p_value)} % of normal clips sound`;
  return `${share} as strange (p = ${Number(clip.p_value.toPrecision(2))})`;
}

function items(list, sentences) {
  list.replaceChildren(...sentences.map((sentence) => {
    const item = document.createElement("li");
    item.textContent = sentence;
    return item;
  }));
}

function drawDay({ item, about, day }) {
  const end = serviceTime(), limit = -Math.log10(rates[about.machine] ?? 0.01);
  const points = [...day].filter(([start]) => start > end - DAY).sort((a, b) => a[0] - b[0]);
  const strange = (p) => -Math.log10(p);
  const highest = Math.max(1.4 * limit, ...points.map(([, [p]]) => strange(p)));
  const x = (start) => 4 + 312 * (1 - Math.min(1, Math.max(0, end - start) / DAY));
  const y = (value) => 55 - 49 * value / highest;
  let before = -Infinity, path = "";
  for (const [start, [p]] of points) {
    path += `${start - before > 1800 ? "M" : "L"}${x(start).toFixed(1)} ${y(strange(p)).toFixed(1)}`;
    if (start - before > 1800) path += "h.01"; // a point alone is a dot
    before = start;
  }
  part(item, ".curve").setAttribute("d", path);
  part(item, ".limit").setAttribute("y1", y(limit));
  part(item, ".limit").setAttribute("y2", y(limit));
  part(item, ".points").replaceChildren(...points.filter(([, [, alarm]]) => alarm).map(([start, [p]]) => {
    const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    for (const [name, value] of [["cx", x(start)], ["cy", y(strange(p))], ["r", 3]]) dot.setAttribute(name, value);
    return dot;
  }));
  const alarming = points.filter(([, [, alarm]]) => alarm).length;
  part(item, ".day").setAttribute("aria-label", `the last 24 hours of ${named(about.machine)}: ` +
    (points.length ? `${alarming} of ${points.length} parts of five minutes with an alarm` : "no clips"));
}

function drawMachine(machine) {
  const { item, about } = machine;
  const last = about.last;
  item.className = "machine";
  if (about.states[0] === "alarm") item.classList.add("alarm-now");
  else if (about.states[0] === "unheard") item.classList.add("unheard");
  else if (about.states.length > 1 || about.states[0] !== "normal") item.classList.add("look");
  part(item, "h3").textContent = named(about.machine);
  part(item, ".chips").replaceChildren(...about.states.map((state) => {
    const chip = document.createElement("span");
    chip.className = `chip ${WORDS[state][1]}`;
    chip.textContent = WORDS[state][0];
    return chip;
  }));
  part(item, ".chance").textContent = last ? chance(last) : "";
  items(part(item, ".said"), about.sentences);
  drawDay(machine);
}

function drawTimes() {
  for (const { item, about } of machines.values()) {
    part(item, ".when").textContent = about.last ? `last clip ${ago(seconds(about.last.time))}` : "";
  }
  element("heard").textContent = told ? `as of ${new Date(told).toLocaleTimeString()}` : "";
}

function drawOverview() {
  const worst = (about) => ["alarm", "microphone", "silent", "drift", "normal", "unheard"].findIndex((s) => about.states.includes(s));
  const sorted = [...machines.values()].sort((a, b) =>
    worst(a.about) - worst(b.about) || a.about.machine.localeCompare(b.about.machine, undefined, { numeric: true }));
  const list = element("machines");
  sorted.forEach(({ item }, n) => {
    if (list.children[n] !== item) list.insertBefore(item, list.children[n] ?? null);
  });
  const having = (...states) => sorted.filter(({ about }) => states.some((state) => about.states.includes(state))).length;
  const wrong = having("alarm"), odd = having("alarm", "microphone", "silent", "drift") - wrong;
  const counted = (count, verb) => `${count} ${count === 1 ? "machine" : "machines"} ${verb}${count === 1 ? "s" : ""}`;
  const parts = [];
  if (wrong) parts.push(counted(wrong, "sound") + " wrong");
  if (odd) parts.push(counted(odd, "need") + " a look");
  if (!parts.length) parts.push(having("normal") ? "All is normal" : "No clip has come yet");
  const overview = parts.join(", ");
  if (element("overview").textContent !== overview) element("overview").textContent = overview;
  document.title = wrong ? `(${wrong}) humwatch` : "humwatch";
}

function drawAlarms(found) {
  const rows = new Set(found.map((alarm) => alarm.row));
  for (const [row, item] of alarms) {
    if (!rows.has(row)) {
      item.remove();
      alarms.delete(row);
    }
  }
  found.forEach((alarm, n) => {
    let item = alarms.get(alarm.row);
    if (!item) {
      item = made("alarm");
      alarms.set(alarm.row, item);
      part(item, "h3").textContent = alarm.nearest ? `nearest to ${alarm.machine}` : alarm.machine;
      part(item, "time").textContent = new Date(alarm.time).toLocaleString();
      part(item, "time").dateTime = alarm.time;
      items(part(item, ".said"), alarm.why);
      part(item, ".about").textContent = `${alarm.file}, from ${alarm.start_s.toFixed(1)} s: ${chance(alarm)}`;
      if (alarm.sound) {
        part(item, "img").src = `v1/alarms/${alarm.row}.png`;
        part(item, "audio").src = `v1/alarms/${alarm.row}.wav`;
      }
    }
    part(item, ".gone").hidden = alarm.sound;
    part(item, "img").hidden = part(item, "audio").hidden = !alarm.sound;
    const list = element("alarms");
    if (list.children[n] !== item) list.insertBefore(item, list.children[n] ?? null);
  });
  element("no-alarms").hidden = found.length > 0;
}

function take(message, all) {
  told = Date.now();
  ahead = told / 1000 - message.now;
  if (message.rates) rates = message.rates;
  if (all) {
    machines.clear();
    element("machines").replaceChildren();
  }
  for (const about of message.machines) {
    const machine = machines.get(about.machine) ?? { item: made("machine"), day: new Map() };
    machine.about = about;
    for (const [start, ...point] of about.day) machine.day.set(start, point);
    for (const start of machine.day.keys()) if (start < serviceTime() - DAY) machine.day.delete(start);
    machines.set(about.machine, machine);
    drawMachine(machine);
  }
  if (message.alarms) drawAlarms(message.alarms);
  drawOverview();
  drawTimes();
}

function connection(text, kind) {
  element("connection").textContent = text;
  element("connection").className = `chip ${kind}`;
}

function connect() {
  const source = new EventSource("v1/events");
  source.addEventListener("all", (event) => {
    take(JSON.parse(event.data), true);
    connection("live", "good");
  });
  source.addEventListener("change", (event) => take(JSON.parse(event.data), false));
  source.addEventListener("error", () => {
    connection("not connected: what you see may be old", "warn");
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 3000);
  });
}

connect();
setInterval(drawTimes, 5000);
setInterval(() => machines.forEach(drawDay), 60000);
