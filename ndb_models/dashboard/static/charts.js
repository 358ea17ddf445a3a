// Small charts of the last ten minutes, drawn as SVG.

const SVG = "http://www.w3.org/2000/svg";
// Seconds: the most that is shown, and the least.
const WINDOW = 600;
const NARROWEST = 60;
const WIDTH = 600;
const HEIGHT = 100;

const whole = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
const short = new Intl.NumberFormat("en", {notation: "compact", maximumFractionDigits: 2});
const fine = new Intl.NumberFormat("en", {maximumFractionDigits: 1});
const finer = new Intl.NumberFormat("en", {maximumSignificantDigits: 3});

/** Return a figure as text for people. */
export function figure(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit === "bytes") return bytes(value);
  if (unit === "seconds") return time(value);
  if (unit === "rate") return `${value >= 1e5 ? short.format(value) : value < 100 ? fine.format(value) : whole.format(value)}/s`;
  return value >= 1e7 ? short.format(value) : value % 1 ? fine.format(value) : whole.format(value);
}

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let place = 0;
  while (value >= 1024 && place < units.length - 1) {
    value /= 1024;
    place += 1;
  }
  return `${place === 0 ? whole.format(value) : finer.format(value)} ${units[place]}`;
}

function time(seconds) {
  if (seconds >= 1) return `${finer.format(seconds)} s`;
  if (seconds >= 1e-3) return `${finer.format(seconds * 1e3)} ms`;
  return `${finer.format(seconds * 1e6)} µs`;
}

/** Return a round number that is not below a value: the top of a scale. */
function ceiling(value, unit) {
  if (!(value > 0)) return unit === "seconds" ? 0.001 : unit === "bytes" ? 1024 : 1;
  const base = unit === "bytes" ? 2 ** (10 * Math.floor(Math.log2(value) / 10)) : 1;
  const scaled = value / base;
  const power = 10 ** Math.floor(Math.log10(scaled));
  const step = [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((each) => each * power >= scaled * 1.02) ?? 10;
  const top = step * power * base;
  return unit === "count" ? Math.max(1, Math.ceil(top)) : top;
}

function element(name, parent, attributes = {}, text = "") {
  const made = parent.namespaceURI === SVG || name === "svg" ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  parent.append(made);
  return made;
}

/** The points of all charts. */
export class Points {
  constructor() {
    this.times = [];
    this.series = {};
  }

  get latest() {
    return this.times.at(-1) ?? 0;
  }

  /** The seconds that the charts show: as long as there are points, within bounds. */
  get span() {
    return Math.min(WINDOW, Math.max(NARROWEST, this.latest - (this.times[0] ?? 0)));
  }

  /** Add the points of an answer that are newer than those there are. */
  add({times, series}) {
    const from = times.findIndex((at) => at > this.latest);
    if (from < 0) return;
    for (const name of new Set([...Object.keys(this.series), ...Object.keys(series)])) {
      this.series[name] ??= this.times.map(() => null);
      this.series[name].push(...times.slice(from).map((_, place) => series[name]?.[from + place] ?? null));
    }
    this.times.push(...times.slice(from));
    const old = this.times.findIndex((at) => at >= this.latest - WINDOW);
    this.times.splice(0, old);
    for (const values of Object.values(this.series)) values.splice(0, old);
  }
}

/** One chart: its present figures, and its lines. */
export class Chart {
  constructor(parent, {title, unit, series, about}, points) {
    this.unit = unit;
    this.series = series;
    this.points = points;
    this.title = title;
    this.at = null;
    const card = element("article", parent, {class: "card chart", title: about});
    const head = element("header", card);
    element("h3", head, {}, title);
    this.when = element("span", head, {class: "when"});
    const now = element("p", card, {class: "now"});
    this.values = series.map(([, label]) => {
      const each = element("span", now);
      if (series.length > 1) element("i", each);
      const value = element("b", each, {}, "–");
      if (label) element("span", each, {}, ` ${label}`);
      return value;
    });
    const plot = element("div", card, {class: "plot"});
    this.svg = element("svg", plot, {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", tabindex: "0",
    });
    for (const y of [0, HEIGHT]) {
      element("line", this.svg, {class: y ? "grid" : "grid upper", x1: 0, x2: WIDTH, y1: y, y2: y});
    }
    this.area = element("path", this.svg, {class: "area"});
    this.lines = series.map((_, place) => element("path", this.svg, {class: place ? "line second" : "line"}));
    this.cursor = element("line", this.svg, {class: "cursor", y1: 0, y2: HEIGHT, visibility: "hidden"});
    this.top = element("span", plot, {class: "top"});
    const axis = element("div", card, {class: "axis", "aria-hidden": "true"});
    this.start = element("span", axis);
    element("span", axis, {}, "now");
    this.#listen();
  }

  #listen() {
    this.svg.addEventListener("pointermove", (event) => {
      const box = this.svg.getBoundingClientRect();
      const {latest, span} = this.points;
      const at = latest - span + ((event.clientX - box.left) / box.width) * span;
      this.#pick(this.#nearest(at));
    });
    this.svg.addEventListener("pointerleave", () => this.#pick(null));
    this.svg.addEventListener("blur", () => this.#pick(null));
    this.svg.addEventListener("keydown", (event) => {
      const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
      if (!step) return;
      event.preventDefault();
      const {times} = this.points;
      const place = this.at === null ? times.length - 1 : times.indexOf(this.at);
      this.#pick(times[Math.min(times.length - 1, Math.max(0, place + step))] ?? null);
    });
  }

  #nearest(at) {
    let nearest = null;
    for (const each of this.points.times) {
      if (nearest === null || Math.abs(each - at) < Math.abs(nearest - at)) nearest = each;
    }
    return nearest;
  }

  #pick(at) {
    this.at = at;
    this.draw();
  }

  /** Draw the points as they are now. */
  draw() {
    const {times, latest, span} = this.points;
    const all = this.series.map(([name]) => this.points.series[name] ?? []);
    const known = all.flat().filter((value) => value !== null);
    const top = ceiling(Math.max(0, ...known), this.unit);
    const x = (at) => ((at - latest + span) / span) * WIDTH;
    const y = (value) => HEIGHT - (value / top) * HEIGHT;
    all.forEach((values, place) => this.lines[place].setAttribute("d", outline(times, values, x, y, false)));
    this.area.setAttribute("d", outline(times, all[0], x, y, true));
    this.start.textContent = `${Math.round(span / 60)} min ago`;
    this.top.textContent = known.length ? figure(top, this.unit) : "";
    this.#tell(times, all, known, x);
  }

  #tell(times, all, known, x) {
    let place = this.at === null ? times.length - 1 : times.indexOf(this.at);
    if (place < 0) {
      this.at = null;
      place = times.length - 1;
    }
    const last = this.at === null ? (values) => recent(values) : (values) => values[place];
    all.forEach((values, each) => { this.values[each].textContent = figure(last(values), this.unit); });
    this.when.textContent = this.at === null ? "" : new Date(this.at * 1000).toLocaleTimeString();
    this.cursor.setAttribute("visibility", this.at === null ? "hidden" : "visible");
    if (this.at !== null) {
      this.cursor.setAttribute("x1", x(this.at));
      this.cursor.setAttribute("x2", x(this.at));
    }
    const range = known.length
      ? `; ${figure(Math.min(...known), this.unit)} to ${figure(Math.max(...known), this.unit)} in the last ten minutes`
      : "; not known yet";
    const now = this.series.map(([, label], each) => `${label} ${this.values[each].textContent}`.trim()).join(", ");
    this.svg.setAttribute("aria-label", `${this.title}: ${now}${range}`);
  }
}

/** Return the latest value, if it is of the last readings: not every reading has all values. */
function recent(values) {
  return values.slice(-3).findLast((value) => value !== null && value !== undefined) ?? null;
}

/** Return a path through the values. Where values are missing, the line ends, and begins again. */
function outline(times, values, x, y, closed) {
  const parts = [];
  let run = [];
  const finish = () => {
    if (run.length) {
      const line = run.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(2)}`);
      if (run.length === 1) line.push(`${(x(run[0][0]) + 0.1).toFixed(1)},${y(run[0][1]).toFixed(2)}`);
      const path = `M${line.join("L")}`;
      parts.push(closed ? `${path}L${x(run.at(-1)[0]).toFixed(1)},${HEIGHT}L${x(run[0][0]).toFixed(1)},${HEIGHT}Z` : path);
    }
    run = [];
  };
  times.forEach((at, place) => {
    const value = values[place];
    if (value === null || value === undefined || (run.length && at - run.at(-1)[0] > 12)) finish();
    if (value !== null && value !== undefined) run.push([at, value]);
  });
  finish();
  return parts.join("");
}
