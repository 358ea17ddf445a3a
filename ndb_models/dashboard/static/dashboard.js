// The status page. Everything from the server is set as text, never as markup.

import {Chart, Points, bytes, figure} from "./charts.js";

const $ = (id) => document.getElementById(id);
const LOOKS_EVERY = 5;
const COUNTS_EVERY = 15;
const LISTS_EVERY = 10;
const SOON = 60;

const state = {
  about: null,
  points: new Points(),
  charts: [],
  schema: null,
  schemas: [],
  search: null,
  next: null,
  isFirstPage: false,
  listAgainAt: 0,
  open: null,
  opened: null,
  timers: [],
};

// Calls

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Make a call. Its arguments go in a header: addresses are written to logs and histories. */
async function call(name, args = {}, {method = "GET", headers = {}} = {}) {
  const all = {...headers, "NDB-Dashboard": encodeURIComponent(JSON.stringify(args))};
  const answer = await fetch(`api/${name}`, {method, headers: all, cache: "no-store", credentials: "same-origin", redirect: "error"});
  const document = await answer.json().catch(() => ({}));
  if (answer.ok) return document;
  throw new Refused(answer.status, document.message ?? `The server answered ${answer.status}.`);
}

/** Do something, and show the reason if it fails. Return undefined then. */
async function attempt(work, show) {
  try {
    return await work();
  } catch (failure) {
    if (failure instanceof Refused && failure.status === 401) {
      showLogin();
    } else {
      show(failure instanceof Refused ? failure.message : "The server gives no answer.", failure);
    }
    return undefined;
  }
}

// Text

function make(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const count = new Intl.NumberFormat("en");

/** Return a duration with its two largest units. */
function duration(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  let left = Math.max(0, Math.floor(seconds));
  const first = units.findIndex(([, size]) => left >= size);
  if (first < 0) return "0 s";
  return units.slice(first, first + 2).map(([unit, size]) => {
    const number = Math.floor(left / size);
    left -= number * size;
    return number || unit === units[first][0] ? `${number} ${unit}` : "";
  }).filter(Boolean).join(" ");
}

function ago(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return "–";
  const seconds = Date.now() / 1000 - milliseconds / 1000;
  return seconds < 2 ? "just now" : `${duration(seconds)} ago`;
}

function moment(milliseconds) {
  return milliseconds === null || milliseconds === undefined ? "–" : new Date(milliseconds).toLocaleString();
}

function say(text) {
  $("toast").textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { $("toast").textContent = ""; }, 5000);
}

function tell(id, text, bad = false) {
  $(id).textContent = text;
  $(id).dataset.bad = bad;
}

// Logging in

function stop() {
  state.timers.forEach(clearInterval);
  state.timers = [];
}

function showLogin() {
  stop();
  if (!$("page").hidden) {
    location.reload();  // nothing that was shown stays
    return;
  }
  setLive("off", "not logged in");
  $("login").hidden = false;
  $("token").focus();
}

$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = $("token").value.trim();
  $("login-error").textContent = "";
  if (!/^[\w.~+/=-]+$/.test(token)) {
    $("login-error").textContent = "A token has letters, digits and -._~+/ only.";
    return;
  }
  try {
    await call("login", {}, {method: "POST", headers: {Authorization: `Bearer ${token}`}});
  } catch (failure) {
    $("login-error").textContent = failure instanceof Refused ? failure.message : "The server gives no answer.";
    $("token").select();
    return;
  }
  $("token").value = "";
  await begin();
});

$("logout").addEventListener("click", async () => {
  await attempt(() => call("logout", {}, {method: "POST"}), say);
  showLogin();
});

// Figures

function setLive(name, text) {
  if ($("live").textContent === text) return;  // a screen reader would read it again
  $("live").dataset.state = name;
  $("live").textContent = text;
}

async function readFigures() {
  const figures = await attempt(
    () => call("figures", {after: state.points.latest}),
    (message, failure) => setLive("away", failure instanceof Refused ? message : "no answer"),
  );
  if (!figures || $("page").hidden) return;
  setLive("live", "live");
  state.points.add(figures);
  state.charts.forEach((chart) => chart.draw());
  showFacts(figures.facts);
}

function showFacts(facts) {
  const parts = [state.about.store];
  if (facts.workers) parts.push(`${facts.workers} of ${facts.ofWorkers} workers, added up`);
  parts.push(`up ${duration(facts.uptime)}`);
  if (facts.keys !== undefined && facts.keys !== null) parts.push(`${figure(facts.keys, "count")} keys`);
  if (facts.received !== undefined) parts.push(`${bytes(facts.received)} in, ${bytes(facts.sent)} out`);
  if (facts.turnedAway) parts.push(`${figure(facts.turnedAway, "count")} handshakes refused`);
  $("facts").textContent = parts.join(" · ");
}

// Schemas

async function readSchemas() {
  const found = await attempt(() => call("schemas"), (message) => tell("list-message", message, true));
  if (!found || $("page").hidden) return;
  state.schemas = found.schemas;
  const most = Math.max(1, ...found.schemas.map((each) => each.count));
  const focused = document.activeElement?.dataset?.schema;
  $("schemas").replaceChildren(...found.schemas.map((each) => schemaItem(each, most)));
  if (focused !== undefined) [...$("schemas").querySelectorAll("button")].find((each) => each.dataset.schema === focused)?.focus();
  $("counted").textContent = found.complete
    ? found.schemas.length ? "" : "There are no typed sessions yet. Those of raw clients have no schema, and are not listed."
    : `Of the first ${count.format(found.counted)} sessions. There are more.`;
  if (state.schema === null && found.schemas.length) await choose(found.schemas[0].schema);
}

function schemaItem(each, most) {
  const button = make("button", "", {type: "button", "aria-pressed": each.schema === state.schema});
  button.dataset.schema = each.schema;
  const name = make("span", "", {class: "name"});
  if (each.namespace !== null) name.append(make("span", `${each.namespace} / `, {class: "space"}));
  name.append(each.name);
  const meter = make("meter", "", {min: 0, max: most, "aria-hidden": "true"});
  meter.value = each.count;
  button.append(name, make("span", count.format(each.count), {class: "count"}), meter);
  button.addEventListener("click", () => choose(each.schema));
  const item = make("li");
  item.append(button);
  return item;
}

async function choose(schema) {
  state.schema = schema;
  for (const button of $("schemas").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", button.dataset.schema === schema);
  }
  const lookups = state.schemas.find((each) => each.schema === schema)?.lookups ?? [];
  $("lookups").replaceChildren(...lookups.map((name) => make("option", "", {value: name})));
  $("field").placeholder = lookups[0] ?? "user_id";
  await clearSearch();
}

// The list

async function clearSearch() {
  state.search = null;
  $("clear").hidden = true;
  $("value").value = "";
  await list();
}

$("clear").addEventListener("click", clearSearch);

$("find").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (state.schema === null) return;
  state.search = {field: $("field").value.trim(), value: $("value").value.trim()};
  $("clear").hidden = false;
  await list();
});

$("more").addEventListener("click", () => list(state.next));

async function list(after = null) {
  const asked = state.search;
  const schema = state.schema;
  const began = performance.now();
  $("more").disabled = true;
  const found = await attempt(
    () => call("sessions", {schema, ...(asked ?? {}), ...(after ? {after} : {})}),
    (message) => tell("list-message", message, true),
  );
  $("more").disabled = false;
  if (!found || asked !== state.search || schema !== state.schema) return;
  const rows = found.sessions.map(row);
  const focused = document.activeElement?.closest("#rows tr")?.dataset.id;
  if (after) $("rows").append(...rows);
  else $("rows").replaceChildren(...rows);
  if (focused) rows.find((each) => each.dataset.id === focused)?.querySelector("button").focus();
  state.next = found.next;
  state.isFirstPage = !after;
  // Listing a large store takes its time: it gets a twentieth at most.
  state.listAgainAt = performance.now() + Math.max(1000 * LISTS_EVERY, 20 * (performance.now() - began));
  const shown = $("rows").children.length;
  $("table").hidden = shown === 0;
  $("more").hidden = found.next === null;
  tell("list-message", listMessage(asked, shown, found));
  tick();
}

/** List again, unless more than the first page is shown, or someone is looking at a session. */
async function listAgain() {
  const isDue = state.schema !== null && state.isFirstPage && performance.now() >= state.listAgainAt;
  if (isDue && !$("session").open) await list();
}

function listMessage(asked, shown, found) {
  if (asked) {
    const what = `${asked.field} = ${asked.value}`;
    if (!shown) return `No session has ${what}. Only Lookup() fields are searched.`;
    return `${count.format(shown)} ${shown === 1 ? "session has" : "sessions have"} ${what}${found.more ? ", and there are more." : "."}`;
  }
  if (!shown) return found.next ? "None among those looked at so far." : "There is no session of this schema.";
  return "";
}

function row(session) {
  const made = make("tr");
  const open = make("button", session.token, {type: "button", "aria-label": `Show the session ${session.token}`});
  const cells = [
    ["Session", ""], ["Ends in", ""], ["Last used", ""], ["Created", ""],
    ["Fields", count.format(session.keys)], ["Version", count.format(session.version)],
  ].map(([label, text]) => make("td", text, {"data-label": label}));
  cells[0].append(open);
  cells[1].dataset.until = session.remaining === null ? "never" : Date.now() / 1000 + session.remaining;
  cells[2].dataset.since = session.used ?? "";
  cells[3].dataset.since = session.created ?? "";
  cells[4].className = cells[5].className = "number";
  made.append(...cells);
  made.dataset.id = session.id;
  made.addEventListener("click", () => show(session.id));
  return made;
}

/** Let every countdown go on. */
function tick() {
  const now = Date.now() / 1000;
  for (const cell of $("rows").querySelectorAll("[data-until]")) {
    const left = cell.dataset.until === "never" ? null : Number(cell.dataset.until) - now;
    cell.textContent = left === null ? "never" : left <= 0 ? "ended" : duration(left);
    cell.classList.toggle("soon", left !== null && left <= SOON);
  }
  for (const cell of $("rows").querySelectorAll("[data-since]")) {
    cell.textContent = ago(cell.dataset.since === "" ? null : Number(cell.dataset.since));
  }
  if (state.opened && $("session").open) countdown(now);
}

// One session

async function show(id) {
  state.open = id;
  state.opened = null;
  $("session-body").hidden = true;
  $("end").hidden = true;
  $("fields").replaceChildren();
  $("session-title").textContent = "";
  $("session-schema").textContent = "";
  tell("session-message", "Reading …");
  if (!$("session").open) $("session").showModal();
  await look();
}

async function look(name = "session", method = "GET") {
  const id = state.open;
  const found = await attempt(() => call(name, {id}, {method}), (message, failure) => {
    if (state.open !== id) return;
    tell("session-message", message, true);
    if (failure.status === 404) gone();
  });
  if (!found || state.open !== id) return;
  tell("session-message", "");
  const keepsValues = state.opened?.revealed && !found.revealed;
  state.opened = {...found, revealed: found.revealed || keepsValues, until: found.remaining === null ? null : Date.now() / 1000 + found.remaining};
  showSession(found, keepsValues);
}

function showSession(session, keepsValues) {
  $("session-body").hidden = false;
  $("session-schema").textContent = session.namespace === null ? session.name : `${session.namespace} / ${session.name}`;
  $("session-title").textContent = session.token;
  $("end").hidden = !state.about.write;
  const facts = [
    ["Created", moment(session.created)], ["Last used", ago(session.used)], ["Last login", ago(session.authenticated)],
    ["Ends at the latest", moment(session.deadline)], ["Version", count.format(session.version)],
    ["Credential", session.hasCredential ? "yes" : "no"], ["Public id", session.publicId ?? "–"],
  ].filter(([, text]) => text !== "–");
  $("session-facts").replaceChildren(...facts.map(([term, text]) => pair(term, text)));
  $("expiry").textContent = expiry(session.expiry);
  if (!keepsValues) {
    $("fields").replaceChildren(...session.fields.map(field));
    $("reveal").hidden = session.revealed || !session.fields.some((each) => !each.secret && !each.leftOut);
    $("reveal-note").textContent = session.revealed
      ? "As they were a moment ago. It is in the log that they were shown. Secrets stay hidden."
      : "Values are hidden. Showing them is written to the log. Secrets stay hidden.";
  }
  countdown(Date.now() / 1000);
}

function pair(term, text) {
  const made = make("div");
  made.append(make("dt", term), make("dd", text));
  return made;
}

function field(each) {
  const made = make("div");
  const term = make("dt", each.name);
  const value = make("dd");
  if (each.secret) {
    term.append(make("span", "secret"));
    value.className = "masked";
    value.textContent = "••••••••";
  } else if (each.leftOut) {
    value.className = "masked";
    value.textContent = "too large to be shown";
  } else if (each.value === null) {
    value.className = "masked";
    value.textContent = "••••••••";
  } else {
    term.append(make("span", each.value.kind));
    value.textContent = each.value.text + (each.value.is_cut ? " …" : "");
  }
  made.append(term, value);
  return made;
}

function expiry({idle, absolute, extendedBy, ends, own}) {
  const parts = [];
  if (idle !== null) {
    const use = extendedBy.length ? `starts anew with ${extendedBy.join(" and ")}` : "never starts anew";
    parts.push(`${ends ? "Idle time" : "Timer"} of ${duration(idle)}, which ${use}.`);
    if (!ends) parts.push("Then it loses its keys, and stays.");
  }
  if (absolute !== null) parts.push(`It lasts ${duration(absolute)} at most.`);
  if (own) parts.push("This expiry is its own, not its class's.");
  parts.push("Looking at it here does not extend it.");
  return parts.join(" ");
}

function countdown(now) {
  const {until, expiry: rules} = state.opened;
  const left = until === null ? null : until - now;
  $("countdown").textContent = left === null ? "never" : left <= 0 ? "ended" : duration(left);
  $("countdown-bar").hidden = left === null;
  if (left !== null) {
    const full = Math.max(rules.idle ?? rules.absolute ?? left, 1);
    $("countdown-bar").value = Math.min(1, Math.max(0, left / full));
    $("countdown-bar").dataset.soon = left <= SOON;
  }
}

/** Leave the session that was open, which has ended. */
function gone() {
  state.opened = null;
  $("session-body").hidden = true;
  $("end").hidden = true;
  $("fields").replaceChildren();
}

$("session-close").addEventListener("click", () => $("session").close());
$("session").addEventListener("close", () => {
  state.open = state.opened = null;
  $("fields").replaceChildren();
});
$("session").addEventListener("click", (event) => {
  if (event.target === $("session")) $("session").close();
});
$("reveal").addEventListener("click", async () => {
  $("reveal").disabled = true;
  await look("reveal", "POST");
  $("reveal").disabled = false;
});

$("end").addEventListener("click", () => {
  $("confirm-what").textContent = `${$("session-schema").textContent} ${$("session-title").textContent}`;
  $("confirm").showModal();
  $("confirm-no").focus();
});
$("confirm-no").addEventListener("click", () => $("confirm").close());
$("confirm-yes").addEventListener("click", async () => {
  const id = state.open;
  $("confirm-yes").disabled = true;
  const ended = await attempt(() => call("end", {id}, {method: "POST"}), (message) => tell("session-message", message, true));
  $("confirm-yes").disabled = false;
  $("confirm").close();
  if (!ended) return;
  $("session").close();
  [...$("rows").children].find((each) => each.dataset.id === id)?.remove();
  $("table").hidden = $("rows").children.length === 0;
  say("The session has ended.");
  await readSchemas();
});

// The course of the page

function every(seconds, work) {
  let busy = false;
  state.timers.push(setInterval(async () => {
    if (busy || document.hidden) return;
    busy = true;
    try {
      await work();
    } finally {
      busy = false;
    }
  }, seconds * 1000));
}

async function begin() {
  stop();
  let about;
  try {
    about = await call("about");
  } catch (failure) {
    if (failure instanceof Refused && failure.status === 401) {
      showLogin();
    } else if (failure instanceof Refused && failure.status === 403) {
      $("refused").hidden = false;
      $("refusal").textContent = failure.message;
    } else {
      setLive("away", failure instanceof Refused ? failure.message : "no answer");
      setTimeout(begin, 3000);
    }
    return;
  }
  state.about = about;
  document.title = `${about.title} · status`;
  $("title").textContent = `${about.title} ${about.login ? about.version : ""}`;
  $("mode").textContent = about.write ? "may end sessions" : "read-only";
  $("mode").dataset.write = about.write;
  $("mode").hidden = false;
  $("login").hidden = true;
  $("logout").hidden = !about.login;
  $("page").hidden = false;
  state.charts = about.charts.map((chart) => new Chart($("charts"), chart, state.points));
  every(about.every, readFigures);
  every(COUNTS_EVERY, readSchemas);
  every(LOOKS_EVERY, async () => { if (state.open && state.opened) await look(); });
  every(1, async () => tick());
  every(1, listAgain);
  await Promise.all([readFigures(), readSchemas()]);
}

begin();
