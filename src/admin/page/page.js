
"use strict";
// Draws what /events sends. Everything from outside is written as text: there is no way to markup in this file.

const SEEN = 60; // results of a check that are drawn
const LISTED = 25; // sessions of a state that are listed
const ANNOUNCED = 3; // routes that are read aloud one by one
const RETRY = 5000; // before listening again after a refusal
const ORDER = ["arrived", "authorizing", "held", "dialing", "confirming", "replaying", "open", "closing"];
const KNOWN = ["time", "uptime_seconds", "version", "bound", "verdict", "routes", "checks", "changes", "sessions", "outcomes", "ledger", "hold", "config"];
const ROUTE = ["path", "verdict", "since", "blockers", "missing", "hand", "mode"];
const CHECK = ["name", "kind", "required", "state", "class", "reason", "hint", "suspicion", "latency_ms", "timeout_ms", "last_checked", "breaker"];
const SVG = "http://www.w3.org/2000/svg";

const at = (id) => document.getElementById(id);
const state = { status: null, skew: 0, lost: null, chosen: "held", shown: null, results: new Map(), verdicts: new Map(), busy: false };

// --- small things ---------------------------------------------------------------------------------------------------

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function make(tag, className, text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.textContent = text;
  return node;
}

function mark(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

// Keeps one child per item, in order, and touches only what has changed: focus and selection survive.
function keep(parent, items, key, build, fill) {
  const old = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let place = parent.firstElementChild;
  items.forEach((item, index) => {
    const name = String(key(item, index));
    const node = old.get(name) ?? build(item);
    old.delete(name);
    node.dataset.key = name;
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
    fill(node, item);
  });
  old.forEach((node) => node.remove());
}

function row(labels, numbers = []) {
  const tr = make("tr");
  mark(tr, "role", "row");
  labels.forEach((label, index) => {
    const td = tr.appendChild(make("td", numbers.includes(index) ? "number" : ""));
    mark(td, "role", "cell");
    td.dataset.label = label;
  });
  return tr;
}

function word(kind) {
  const node = make("span", "word");
  node.dataset[kind] = "";
  node.append(sign(), make("span"));
  return node;
}

function sign() {
  const node = make("span", "mark");
  mark(node, "aria-hidden", "true");
  return node;
}

function say(node, kind, text) {
  mark(node, `data-${kind}`, text);
  set(node.lastChild, text);
}

const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

function span(ms) {
  if (ms < 0.005) return "0 ms";
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60000) return `${Number((ms / 1000).toFixed(1))} s`;
  return long(ms / 1000);
}

function long(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let power = 0;
  while (bytes >= 1024 && power < units.length - 1) [bytes, power] = [bytes / 1024, power + 1];
  return `${Number(bytes.toFixed(1))} ${units[power]}`;
}

// The server's clock: the browser's may be wrong.
const now = () => Date.now() + state.skew;
const since = (time) => long((now() - Date.parse(time)) / 1000);
const left = (time) => `It is gone in ${long((Date.parse(time) - now()) / 1000)} at the latest.`;
const clock = (time) => new Date(time).toLocaleTimeString("en-GB");

function moment(time) {
  const date = new Date(time);
  const today = date.toDateString() === new Date(now()).toDateString();
  return today ? clock(time) : `${date.toLocaleDateString("en-CA")} ${clock(time)}`;
}

// Any value of any shape, for fields that this page does not know.
function plain(value, key = "") {
  if (value === null || value === undefined) return "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number" && key.endsWith("_ms")) return span(value);
  if (typeof value === "number" && key.endsWith("bytes")) return size(value);
  if (typeof value === "number" && key.endsWith("seconds")) return long(value);
  if (typeof value === "number") return value.toLocaleString("en");
  if (typeof value === "string") return value === "" ? "none" : value;
  if (Array.isArray(value)) return value.length ? value.map((one) => plain(one)).join("; ") : "none";
  return Object.entries(value).map(([name, one]) => `${title(name)} ${plain(one, name)}`).join(", ") || "none";
}

const title = (key) => key.replace(/_(ms|seconds)$/, "").replace(/_/g, " ");
const capital = (text) => (text === "tls" ? "TLS" : text.charAt(0).toUpperCase() + text.slice(1));
const sentence = (text) => (/[.?!]$/.test(text) ? capital(text) : `${capital(text)}.`);
const others = (object, known) => Object.entries(object).filter(([key, value]) => !known.includes(key) && value !== null);

// --- the parts of the page ------------------------------------------------------------------------------------------

function drawVerdict(status) {
  mark(at("verdict"), "data-verdict", status.verdict);
  set(at("word"), capital(status.verdict));
  document.title = `${status.verdict} · readygate`;
  const [held, open] = [status.sessions.held ?? 0, status.sessions.open ?? 0];
  const shut = status.routes.filter((route) => route.verdict === "shut").length;
  const words = {
    open: "Every route is open.",
    degraded: "Sessions pass, something optional is missing.",
    shut: shut === status.routes.length ? "New sessions wait." : `${shut} of ${plural(status.routes.length, "route")} wait.`,
    draining: "This process is going down and takes nobody new.",
  };
  const forced = status.routes.filter((route) => route.hand).length;
  const byWhom = forced ? ` ${plural(forced, "route")} set by hand.` : "";
  set(at("standing"), `${words[status.verdict] ?? ""} ${plural(held, "session")} held, ${open.toLocaleString("en")} open.${byWhom}`.trim());
  drawEnd(status);
  const refusal = status.config?.last_error;
  at("refused").hidden = !refusal;
  set(at("refused"), refusal ? ["What the file says is not in force:", ...refusal.problems.map(({ problem }) => problem)].join("\n") : "");
  const waiting = status.config?.restart_needed ?? [];
  at("restart").hidden = !waiting.length;
  set(at("restart"), waiting.length ? `Not in force before a restart: ${plain(waiting)}.` : "");
}

// The last moment of a process that drains; it may be gone earlier.
function drawEnd(status) {
  const began = status.verdict === "draining" ? status.routes[0]?.since : undefined;
  at("end").hidden = !began;
  if (began) at("end").dataset.until = new Date(Date.parse(began) + status.config.drain_timeout_ms).toISOString();
  set(at("end"), began ? left(at("end").dataset.until) : "");
}

// Read aloud: only what has changed its name.
function announce(status) {
  const news = [];
  for (const { path, verdict, blockers, missing } of status.routes) {
    const before = state.verdicts.get(path);
    const first = [...blockers, ...missing][0];
    if (before && before !== verdict) news.push(`Route ${path} is ${verdict}${first ? `, ${first.check}: ${first.reason}` : ""}`);
    state.verdicts.set(path, verdict);
  }
  const many = `${plural(news.length, "route")} changed: the gate is ${status.verdict}`;
  if (news.length) set(at("announcement"), news.length > ANNOUNCED ? many : news.join(". "));
}

function drawRoutes(routes) {
  const build = () => {
    const tr = row(["Route", "Verdict", "For", "Why"]);
    tr.children[0].append(make("span", "path"));
    tr.children[1].append(word("verdict"));
    tr.children[2].append(make("span"));
    tr.children[3].append(make("ul", "blockers"), make("span", "small"));
    return tr;
  };
  keep(at("routes"), routes, (_, index) => index, build, (tr, route) => {
    const [path, verdict, age, why] = tr.children;
    set(path.firstChild, route.path);
    say(verdict.firstChild, "verdict", route.verdict);
    age.firstChild.dataset.since = route.since;
    set(age.firstChild, since(route.since));
    const objects = [...route.blockers, ...route.missing];
    drawBlockers(why.firstChild, objects);
    const notes = [...byHand(route.hand), ...(route.mode && route.mode !== "enforce" ? [`mode ${plain(route.mode)}`] : [])];
    notes.push(...others(route, ROUTE).map(([key, value]) => `${title(key)}: ${plain(value, key)}`));
    set(why.lastChild, notes.join(" · "));
    why.toggleAttribute("data-empty", !objects.length && !notes.length);
  });
}

function byHand(hand) {
  if (!hand || typeof hand !== "object") return [];
  const { verdict, reason, since: from, until, ...rest } = hand;
  const words = [`${verdict ?? "set"} by hand`, reason, from && `since ${moment(from)}`, until && `until ${moment(until)}`];
  return [[...words.filter(Boolean), ...others(rest, []).map(([key, value]) => `${title(key)} ${plain(value, key)}`)].join(", ")];
}

function drawBlockers(list, blockers) {
  const build = () => {
    const li = make("li");
    li.append(make("span", "name"), make("span", "reason"), make("span", "small"));
    return li;
  };
  keep(list, blockers, (blocker) => blocker.check, build, (li, blocker) => {
    set(li.children[0], `${blocker.check} (${blocker.class})`);
    set(li.children[1], blocker.reason);
    set(li.children[2], `${blocker.hint ? `${sentence(blocker.hint)} ` : ""}Since ${moment(blocker.since)}.`);
  });
}

function drawChecks(checks) {
  const build = () => {
    const tr = row(["Check", "State", "Results seen", "Last took", "May take", "Ago", "Breaker"], [3, 4, 5]);
    tr.children[0].append(make("span", "name"), make("span", "small"));
    tr.children[1].append(word("state"));
    tr.children[2].append(document.createElementNS(SVG, "svg"), make("span", "small"));
    tr.children[5].append(make("span"));
    return tr;
  };
  keep(at("checks"), checks, (check) => check.name, build, (tr, check) => {
    const [name, standing, results, took, limit, age, breaker] = tr.children;
    set(name.firstChild, check.name);
    const extra = others(check, CHECK).map(([key, value]) => `${title(key)}: ${plain(value, key)}`);
    set(name.lastChild, [check.kind, check.required ? "required" : "optional", ...extra].join(" · "));
    say(standing.firstChild, "state", check.state);
    drawResults(results.firstChild, check.name, take(check));
    set(results.lastChild, [check.reason, check.suspicion].filter(Boolean).map(sentence).join(" "));
    set(took, check.latency_ms === null ? "–" : span(check.latency_ms));
    set(limit, span(check.timeout_ms));
    if (check.last_checked) age.firstChild.dataset.since = check.last_checked;
    set(age.firstChild, check.last_checked ? since(check.last_checked) : "–");
    set(breaker, check.breaker);
    breaker.toggleAttribute("data-usual", check.breaker === "closed");
  });
}

// Adds the check's result to those that were seen, if it is a new one.
function take(check) {
  const seen = state.results.get(check.name) ?? [];
  state.results.set(check.name, seen);
  if (check.last_checked && seen.at(-1)?.when !== check.last_checked) {
    seen.push({ when: check.last_checked, ms: check.latency_ms ?? 0, passed: check.state === "passing" });
    if (seen.length > SEEN) seen.shift();
  }
  return seen;
}

// A bar for a pass, as high as it was slow; a cross for a failure.
function drawResults(svg, name, seen) {
  const count = `${seen.length} ${seen.at(-1)?.when}`;
  if (svg.dataset.count === count) return;
  svg.dataset.count = count;
  const most = Math.max(...seen.map(({ ms, passed }) => (passed ? ms : 0)), 1e-3);
  const shapes = [shape("path", "ground", { d: `M0 23.5H${SEEN * 4}` })];
  seen.forEach(({ ms, passed }, index) => {
    const x = (SEEN - seen.length + index) * 4;
    const height = Math.max(2, (ms / most) * 22);
    shapes.push(passed
      ? shape("rect", "passed", { x, y: 23 - height, width: 3, height })
      : shape("path", "failed", { d: `M${x} 9l3 3m0-3l-3 3` }));
  });
  mark(svg, "viewBox", `0 0 ${SEEN * 4} 24`);
  mark(svg, "preserveAspectRatio", "none");
  mark(svg, "role", "img");
  const failed = seen.filter(({ passed }) => !passed).length;
  const slowest = failed < seen.length ? `, slowest pass ${span(most)}` : "";
  mark(svg, "aria-label", `${name}: last ${plural(seen.length, "result")}, ${failed} failed${slowest}`);
  svg.replaceChildren(...shapes);
}

function shape(tag, className, attributes) {
  const node = document.createElementNS(SVG, tag);
  node.setAttribute("class", className);
  Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
  return node;
}

function drawFlow(sessions) {
  const rank = (name) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  const states = Object.entries(sessions).sort(([a], [b]) => rank(a) - rank(b));
  const build = ([name]) => {
    const button = make("button");
    button.type = "button";
    button.append(make("span", "count"), make("span", "state", capital(name)));
    button.addEventListener("click", () => choose(name));
    const li = make("li");
    li.append(button);
    return li;
  };
  keep(at("flow"), states, ([name]) => name, build, (li, [name, count]) => {
    set(li.firstChild.firstChild, count.toLocaleString("en"));
    li.firstChild.toggleAttribute("data-none", count === 0);
    mark(li.firstChild, "aria-pressed", String(name === state.chosen));
  });
}

function drawOutcomes(outcomes) {
  const ended = Object.entries(outcomes ?? {}).map(([name, count]) => `${name.replace(/_/g, " ")} ${count.toLocaleString("en")}`);
  set(at("outcomes"), ended.join(" · ") || "none yet");
}

function drawHold(hold, ledger) {
  const part = (name, used, limit, text) => {
    const bar = at(`bar-${name}`);
    bar.style.width = `${Math.min(100, limit ? (used / limit) * 100 : 0)}%`;
    bar.toggleAttribute("data-full", used >= limit);
    set(at(`hold-${name}`), `${text(used)} of ${text(limit)}${used >= limit ? ", full" : ""}`);
  };
  part("bytes", hold.bytes, hold.bytes_limit, size);
  part("sessions", hold.sessions, hold.sessions_limit, (count) => count.toLocaleString("en"));
  const { received, delivered, refused, imbalances } = ledger;
  set(at("equation"), `${received.toLocaleString("en")} received = ${delivered.toLocaleString("en")} delivered + ${refused.toLocaleString("en")} refused`);
  mark(at("balance"), "data-state", imbalances ? "failing" : "");
  set(at("balance"), imbalances
    ? `${plural(imbalances, "session")} out of balance: a bug of readygate's, please report it.`
    : "In balance. Frames of sessions that ended.");
}

function drawChanges(changes) {
  at("unchanged").hidden = changes.length > 0;
  const build = () => {
    const li = make("li");
    li.append(make("time"), make("span", "path brief"), make("span", "turn"), make("span", "why"));
    li.children[2].append(make("span", "quiet"), word("verdict"));
    return li;
  };
  keep(at("changes"), changes, ({ at: when, route, to }) => `${when} ${route} ${to}`, build, (li, change) => {
    const [when, route, turn, why] = li.children;
    mark(when, "datetime", change.at);
    set(when, moment(change.at));
    set(route, change.route);
    set(turn.firstChild, `${change.from} → `);
    say(turn.lastChild, "verdict", change.to);
    set(why, change.because ? `${change.because.check} (${change.because.class}): ${change.because.reason}` : "");
  });
}

function drawProcess(status) {
  const { config, version, uptime_seconds: uptime, bound } = status;
  const facts = [["version", version], ["running for", long(uptime)], ["public port", bound ? "bound" : "not bound yet"]];
  facts.push(...Object.entries(config ?? {}).filter(([key]) => key !== "last_error").map(([key, value]) => [title(key), setting(key, value)]));
  facts.push(...others(status, KNOWN).map(([key, value]) => [title(key), plain(value, key)]));
  drawFacts(at("process"), facts);
  set(at("version"), version);
}

// A hash is there to be compared: its beginning does.
function setting(key, value) {
  if (key === "hash" && typeof value === "string") return value.slice(0, 12);
  return key.endsWith("_at") && value ? moment(value) : plain(value, key);
}

function drawFacts(list, facts) {
  const cells = facts.flatMap(([name, value]) => [["dt", name, capital(name)], ["dd", name, value]]);
  keep(list, cells, ([tag, name]) => `${tag} ${name}`, ([tag]) => make(tag), (node, [, , text]) => set(node, text));
}

// --- sessions -------------------------------------------------------------------------------------------------------

function choose(name) {
  state.chosen = name;
  drawFlow(state.status.sessions);
  set(at("h-list"), capital(name));
  list();
}

async function list() {
  if (state.busy || document.hidden) return;
  state.busy = true;
  const chosen = state.chosen;
  try {
    const answer = await fetch(`/sessions?state=${encodeURIComponent(chosen)}&limit=${LISTED}`);
    const sessions = await answer.json();
    if (answer.ok && chosen === state.chosen) drawSessions(sessions, Number(answer.headers.get("x-total-count") ?? sessions.length));
  } catch {
    // The stream says that the connection is lost.
  }
  state.busy = false;
  if (chosen !== state.chosen) list();
}

function drawSessions(sessions, total) {
  const build = ({ id }) => {
    const tr = row(["Session", "Path", "Client", "Age", "Holds", "Last reason"], [3, 4]);
    const button = make("button", "", String(id));
    button.type = "button";
    mark(button, "aria-label", `Why is session ${id} here?`);
    button.addEventListener("click", () => ask(id));
    tr.children[0].append(button);
    tr.children[1].append(make("span", "path brief"));
    tr.children[4].append(make("span"), make("span", "small"));
    tr.children[5].append(make("span", "brief"));
    return tr;
  };
  keep(at("sessions"), sessions, ({ id }) => id, build, (tr, session) => {
    const [, path, client, age, holds, reason] = tr.children;
    set(path.firstChild, session.path);
    set(client, session.peer);
    set(age, long(session.age_ms / 1000));
    set(holds.firstChild, session.held_frames ? size(session.held_bytes) : "nothing");
    set(holds.lastChild, session.held_frames ? plural(session.held_frames, "frame") : "");
    set(reason.firstChild, session.reason);
    reason.toggleAttribute("data-empty", !session.reason);
  });
  set(at("listed"), total > sessions.length ? `The oldest ${sessions.length} of ${total.toLocaleString("en")}.` : total ? "" : "None.");
}

// Why is this session waiting?
async function ask(id) {
  state.shown = id;
  set(at("h-session"), `Session ${id}`);
  try {
    const answer = await fetch(`/sessions/${id}`);
    const session = await answer.json();
    if (state.shown !== id) return;
    if (answer.ok) drawSession(session);
    else set(at("answer"), session.error);
  } catch {
    set(at("answer"), "The connection is lost.");
  }
  if (!at("session").open) at("session").showModal();
}

function drawSession(session) {
  const waiting = session.waiting_for;
  set(at("answer"), waiting.length
    ? `It waits for ${waiting.map(({ check }) => check).join(" and ")}.`
    : `It is ${session.state.replace(/_/g, " ")}${session.reason ? `: ${session.reason}` : ""}.`);
  drawBlockers(at("waiting"), waiting);
  drawFacts(at("facts"), [
    ["path", session.path],
    ["client", session.peer],
    ["arrived", `${moment(session.arrived)}, ${long(session.age_ms / 1000)} ago`],
    ["holds", `${size(session.held_bytes)} in ${plural(session.held_frames, "frame")}`],
  ]);
  const build = () => {
    const tr = row(["After", "State", "Reason"], [0]);
    [...tr.children].forEach((td) => td.append(make("span")));
    return tr;
  };
  keep(at("steps"), session.steps, (_, index) => index, build, (tr, step) => {
    const texts = [span(step.after_ms), step.state.replace(/_/g, " "), step.reason];
    texts.forEach((text, index) => set(tr.children[index].firstChild, text));
    tr.children[2].toggleAttribute("data-empty", !step.reason);
  });
}

// --- the stream -----------------------------------------------------------------------------------------------------

function draw(status) {
  state.status = status;
  state.skew = Date.parse(status.time) - Date.now();
  announce(status);
  drawVerdict(status);
  drawRoutes(status.routes);
  drawChecks(status.checks);
  drawFlow(status.sessions);
  drawOutcomes(status.outcomes);
  drawHold(status.hold, status.ledger);
  drawChanges(status.changes);
  drawProcess(status);
  list();
  if (at("session").open) ask(state.shown);
}

function found() {
  state.lost = null;
  at("link").removeAttribute("data-lost");
  set(at("link"), "live");
}

function lose() {
  state.lost ??= Date.now();
  mark(at("link"), "data-lost", "");
  at("end").hidden = true;
  set(at("link"), `Connection lost since ${clock(state.lost)}; below is the last that was known.`);
}

function listen() {
  const events = new EventSource("/events");
  events.addEventListener("status", ({ data }) => {
    found();
    draw(JSON.parse(data));
  });
  events.addEventListener("error", () => {
    // A browser tries again by itself, but not after an answer such as 503.
    if (events.readyState === EventSource.CLOSED) look();
    else lose();
  });
}

// There is no place for another listener: what can be had is one status at a time.
async function look() {
  try {
    const answer = await fetch("/status");
    draw(await answer.json());
    found();
    set(at("link"), "asked every few seconds: too many pages listen");
  } catch {
    lose();
  }
  setTimeout(listen, RETRY);
}

setInterval(() => {
  if (state.lost !== null) return;
  document.querySelectorAll("[data-since]").forEach((node) => set(node, since(node.dataset.since)));
  document.querySelectorAll("[data-until]:not([hidden])").forEach((node) => set(node, left(node.dataset.until)));
}, 1000);
at("close").addEventListener("click", () => at("session").close());
at("session").addEventListener("close", () => (state.shown = null));
listen();
