// What the tests share: the examples as processes, the browser, tabs of the chat, and a WebSocket without a browser.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createConnection } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectSecurely } from "node:tls";

import { chromium } from "playwright-core";

const ROOT = new URL("../..", import.meta.url);
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];

// Seconds: for what takes milliseconds on an idle machine.
const PATIENCE = 30;

/** Gives what `look` finds once it finds something; fails after `seconds`. */
export async function eventually(what, look, seconds = PATIENCE) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(25)) {
    const found = await look();
    if (found) return found;
  }
  throw new Error(`not within ${seconds} s: ${what}`);
}

/** Fails if `promise` takes longer than `seconds`. */
export function within(what, promise, seconds = PATIENCE) {
  const timer = new AbortController();
  const late = sleep(seconds * 1000, null, timer).then(() => { throw new Error(`not within ${seconds} s: ${what}`); });
  return Promise.race([promise, late]).finally(() => { late.catch(() => {}); timer.abort(); });
}

const running = new Set();
let browser;

/** Ends the browser and what a test that failed has left running, which would keep the tests from ending. */
export async function endAll() {
  for (const server of running) server.kill("SIGKILL");
  await browser?.close();
}

/** Starts an example on a free port, or on `port`. Cargo becomes the example, so that its pid is the example's. */
export async function start(example, { port = 0, flags = [] } = {}) {
  const cargo = ["run", "--quiet", "--release", "--package", "raddle", "--example", example, "--"];
  const server = spawn("cargo", [...cargo, "--listen", `127.0.0.1:${port}`, ...flags],
    { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(server, "exit");
  running.add(server);
  exited.then(() => running.delete(server));
  const lines = createInterface(server.stdout);
  const [line] = await within(`${example} starts`, Promise.race([once(lines, "line"), exited]), 60);
  const url = /^listening on (\S+)$/.exec(line)?.[1];
  if (!url) throw new Error(`${example} said ${line}`);
  return {
    url,
    port: Number(new URL(url).port),
    /** Ends it, and gives the exit code, or the signal that it died of. */
    async stop(signal = "SIGTERM") {
      server.kill(signal);
      const [code, died] = await within(`${example} ends`, exited);
      return died ?? code;
    },
  };
}

/** A new Chromium, with a profile that is new and empty. */
export async function launch() {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
  return browser;
}

/** Opens the chat in a tab of its own and joins it. The tab's complaints are kept in `complaints`. */
export async function join(context, url, name) {
  const page = await open(context, url);
  await page.fill("#name", name);
  await page.press("#name", "Enter");
  await connected(page);
  return page;
}

export async function open(context, url) {
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE * 1000);
  page.complaints = [];
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("console", (message) => message.type() === "error" && page.complaints.push(message.text()));
  await page.addInitScript(installWire);
  await page.goto(url);
  return page;
}

export function connected(page) {
  return page.locator("#state[data-state=open]").waitFor();
}

export async function say(page, text) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
}

/** Waits until the last message of the log is `text`, and gives who said it. */
export function heard(page, text) {
  const last = page.locator("#log .message").last();
  return eventually(`the page shows ${JSON.stringify(text.slice(0, 60))}`, async () => {
    const [shown] = await last.locator(".text").allTextContents();
    return shown === text && last.getAttribute("data-from");
  });
}

export function note(page, words) {
  return page.locator("#log .note").filter({ hasText: words }).last().waitFor();
}

export function online(page) {
  return page.locator("#online li").evaluateAll((items) => items.map((item) => item.dataset.name));
}

/** Runs in the page: gives it `wire(url)`, a WebSocket that can be waited for. */
function installWire() {
  window.wire = async (url, ...protocols) => {
    const socket = new WebSocket(url, ...protocols);
    socket.binaryType = "arraybuffer";
    const arrived = [];
    let wake = () => {};
    socket.onmessage = ({ data }) => { arrived.push(data); wake(); };
    const closed = new Promise((resolve) => {
      socket.onclose = ({ code, reason, wasClean }) => resolve({ code, reason, wasClean });
    });
    await Promise.race([new Promise((resolve) => { socket.onopen = resolve; }), closed]);
    const next = async () => {
      while (!arrived.length) await new Promise((resolve) => { wake = resolve; });
      return arrived.shift();
    };
    return { socket, closed, next };
  };
}

/** Makes the opening handshake without a browser; nothing is read before `read` is called. */
export async function connectByHand(secure, port, target) {
  const address = { port, host: "127.0.0.1" };
  const socket = secure ? connectSecurely({ ...address, rejectUnauthorized: false }) : createConnection(address);
  socket.on("error", () => {});
  await within("a connection", once(socket, secure ? "secureConnect" : "connect"));
  socket.write(`GET ${target} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n`
    + `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString("base64")}\r\n\r\n`);
  return socket;
}

/** Reads frames until one ends a message, and gives them as `{ fin, opcode, payload }`. */
export async function readMessage(socket) {
  let bytes = Buffer.alloc(0);
  let upgraded = false;
  const frames = [];
  for await (const chunk of socket) {
    bytes = Buffer.concat([bytes, chunk]);
    if (!upgraded) {
      const head = bytes.indexOf("\r\n\r\n");
      if (head < 0) continue;
      bytes = bytes.subarray(head + 4);
      upgraded = true;
    }
    for (let frame; (frame = parseFrame(bytes)); ) {
      frames.push(frame);
      bytes = bytes.subarray(frame.length);
      if (frame.fin) return frames;
    }
  }
  throw new Error("the stream ended amid a message");
}

/** Parses a server's frame (RFC 6455, section 5.2); `null`: more bytes are needed. */
function parseFrame(bytes) {
  if (bytes.length < 4) return null;
  const short = bytes[1];
  const head = short < 126 ? 2 : 4;
  const payload = short < 126 ? short : bytes.readUInt16BE(2);
  if (short > 126 || bytes.length < head + payload) return null;
  return { fin: bytes[0] >= 0x80, opcode: bytes[0] & 0x0f, payload: bytes.subarray(head, head + payload),
    length: head + payload };
}
