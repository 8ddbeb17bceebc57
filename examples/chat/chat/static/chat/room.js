// The page of a room. Its socket has the page's own address. When the connection is lost, the page
// comes back by itself and asks for what it missed.
"use strict";

const SHORTEST_WAIT = 500; // milliseconds before the first new try
const LONGEST_WAIT = 30_000;
const OVERLAP = 10; // lines asked for again: those of two people may come in either order
const MOST_LINES = 500; // lines that stay on the page
const OVER = { 4401: "You are signed out.", 4404: "This room is gone." };

const find = (id) => document.getElementById(id);
const [state, notice, why, retry, signIn] = ["state", "notice", "why", "retry", "sign-in"].map(find);
const [scroll, log, lines, newer] = ["scroll", "log", "lines", "newer"].map(find);
const [form, text, send] = ["say", "text", "send"].map(find);
const me = lines.dataset.name;
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });

let socket = null;
let tries = 0; // since we were online
let timer = 0;

// --- the connection ---

function connect() {
  clearTimeout(timer);
  tell("connecting", tries ? "Reconnecting…" : "Connecting…");
  socket = new WebSocket(address());
  socket.onmessage = (event) => {
    // Not before the first frame: a socket that opens and closes at once is no success.
    tries = 0;
    tell("online", "Online");
    show(JSON.parse(event.data));
  };
  socket.onclose = (event) => {
    if (event.code in OVER) {
      tell("over", "Offline", OVER[event.code]);
      signIn.hidden = event.code !== 4401;
      return;
    }
    // Twice as long after each try, and never the same for all pages of a server that comes back.
    const wait = Math.min(LONGEST_WAIT, SHORTEST_WAIT * 2 ** tries) * (0.5 + Math.random() / 2);
    tries += 1;
    timer = setTimeout(connect, wait);
    tell("waiting", "Offline", `Connection lost. Next try in ${Math.ceil(wait / 1000)} s.`);
  };
}

function address() {
  const url = new URL(location.pathname, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const seen = lines.children[Math.max(0, lines.children.length - OVERLAP)];
  if (seen) url.searchParams.set("after", seen.value);
  return url;
}

function hurry() {
  if (state.dataset.state === "waiting") connect();
}

function tell(name, words, reason = "") {
  if (state.textContent !== words) state.textContent = words; // or it would be read out again
  state.dataset.state = name;
  send.disabled = name !== "online";
  if (name !== "connecting") { // meanwhile the notice stays, or the page would jump at each try
    why.textContent = reason;
    notice.hidden = !reason;
  }
  retry.hidden = name === "over";
  signIn.hidden = true;
}

retry.onclick = hurry;
addEventListener("online", hurry);
addEventListener("visibilitychange", () => document.visibilityState === "visible" && hurry());

// --- the lines ---

function show(frame) {
  const last = lines.lastElementChild;
  if (frame.afresh) forgetBefore(frame.lines[0].id);
  frame.lines.forEach(add);
  while (lines.children.length > MOST_LINES) lines.firstElementChild.remove();
  log.setAttribute("aria-busy", "false"); // the history is not read out, what follows is
  if (atEnd) toEnd();
  else if (lines.lastElementChild !== last) newer.hidden = false;
}

function forgetBefore(id) {
  while (lines.firstElementChild?.value < id) lines.firstElementChild.remove();
}

function add(line) {
  // The number of a line is its place; a line that is here already is not shown again.
  let before = lines.lastElementChild;
  while (before && before.value > line.id) before = before.previousElementSibling;
  if (before && before.value === line.id) return;
  const item = make(line);
  if (before) before.after(item);
  else lines.prepend(item);
  join(item);
  if (item.nextElementSibling) join(item.nextElementSibling);
}

function make(line) {
  const item = element("li", line.kind);
  item.value = line.id;
  item.dataset.name = line.name;
  item.classList.toggle("mine", line.name === me);
  item.style.setProperty("--hue", hue(line.name));
  const time = element("time", "", clock.format(new Date(line.at)));
  time.dateTime = line.at;
  time.title = date.format(new Date(line.at));
  if (line.kind === "said") {
    item.append(element("span", "name", line.name), element("p", "text", line.text), time);
  } else {
    item.append(element("span", "", `${line.name} ${line.kind}`), time);
  }
  return item;
}

// Text goes in as text, never as HTML: whatever people write, it stays what they wrote.
function element(tag, kind, words = "") {
  const made = document.createElement(tag);
  made.className = kind;
  made.textContent = words;
  return made;
}

// Lines that follow each other and are by one person stand closer together.
function join(item) {
  const before = item.previousElementSibling;
  const same = before?.className.startsWith("said") && before.dataset.name === item.dataset.name;
  item.classList.toggle("more", Boolean(same) && item.classList.contains("said"));
}

function hue(name) {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + character.codePointAt(0)) % 9973;
  return Math.round(sum * 137.5) % 360; // names that differ little get colours that differ much
}

// --- who reads the end stays there, who reads above is left there ---

let atEnd = true;

function toEnd() {
  scroll.scrollTop = scroll.scrollHeight;
  atEnd = true;
  newer.hidden = true;
}

scroll.onscroll = () => {
  atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60; // pixels
  if (atEnd) newer.hidden = true;
};
new ResizeObserver(() => atEnd && toEnd()).observe(scroll); // by a phone's keyboard, or the notice
newer.onclick = toEnd;

// --- what I say ---

form.onsubmit = (event) => {
  event.preventDefault();
  const words = text.value.trim();
  if (!words || send.disabled) return; // what is written stays until it can be sent
  socket.send(words);
  text.value = "";
  toEnd();
};

connect();
