// The echo server as pages of other origins use it.

import assert from "node:assert/strict";
import { after, before, test as it } from "node:test";

import { endAll, launch, open, start, within } from "./support.mjs";

const test = (name, body) => it(name, { timeout: 120_000 }, body);

let chat, page;

before(async () => {
  chat = await start("chat");
  const browser = await launch();
  // The chat's page says that it connects to its own server only, which is not what is tested here.
  page = await open(await browser.newContext({ bypassCSP: true }), chat.url);
});

after(async () => {
  try {
    assert.equal(await chat.stop(), 0);
  } finally {
    await endAll();
  }
});

/** Runs `body` with an echo server that admits the page, and gives the exit code of the server. */
async function withEcho(flags, body) {
  const echo = await start("echo_server", { flags: ["--origin", chat.url, ...flags] });
  try {
    await body(echo);
  } finally {
    assert.equal(await echo.stop(), 0);
  }
}

test("messages of every size come back equal, in order", () => withEcho([], async (echo) => {
  const sizes = [0, 1, 125, 126, 127, 65535, 65536, 1 << 20];
  const differing = await page.evaluate(async ([url, sizes]) => {
    const { socket, next } = await wire(url);
    const differing = [];
    const texts = sizes.map((size) => "é🙂".repeat(size / 6) + "a".repeat(size % 6));
    const bytes = sizes.map((size) => Uint8Array.from({ length: size }, (_, i) => i * 7 + (i >> 8)));
    for (const message of [...texts, ...bytes]) socket.send(message);
    for (const text of texts) if (await next() !== text) differing.push(`text ${text.length}`);
    for (const sent of bytes) {
      const came = new Uint8Array(await next());
      const differs = came.length !== sent.length || came.some((byte, i) => byte !== sent[i]);
      if (differs) differing.push(`binary ${sent.length}`);
    }
    socket.close();
    return differing;
  }, [echo.url, sizes]);
  assert.deepEqual(differing, []);
}));

test("a page that is not named is refused before anything is opened", async () => {
  for (const flags of [[], ["--origin", "http://127.0.0.1:1"]]) {
    const echo = await start("echo_server", { flags });
    const closed = await page.evaluate(async (url) => (await wire(url)).closed, echo.url);
    assert.deepEqual(closed, { code: 1006, reason: "", wasClean: false });
    assert.equal(await echo.stop(), 0);
  }
});

test("the first subprotocol of the page's that the server supports is agreed on", () =>
  withEcho(["--subprotocol", "one", "--subprotocol", "two"], async (echo) => {
    const agreed = (offers) => page.evaluate(async ([url, offers]) => {
      const { socket } = await wire(url, offers);
      const { protocol } = socket;
      socket.close();
      return protocol;
    }, [echo.url, offers]);
    assert.equal(await agreed(["three", "two", "one"]), "two");
    assert.equal(await agreed([]), "");
  }));

test("the browser answers Pings and stays connected", () =>
  withEcho(["--ping-interval", "0.1", "--ping-timeout", "1"], async (echo) => {
    const echoed = await page.evaluate(async (url) => {
      const { socket, next } = await wire(url);
      await new Promise((resolve) => setTimeout(resolve, 1500));
      socket.send("still here");
      return next();
    }, echo.url);
    assert.equal(echoed, "still here");
  }));

test("a server that stops says 1001 to every page", async () => {
  const echo = await start("echo_server", { flags: ["--origin", chat.url] });
  await page.evaluate(async (url) => {
    window.wires = await Promise.all(Array.from({ length: 5 }, () => wire(url)));
  }, echo.url);
  assert.equal(await echo.stop(), 0);
  const codes = await within("the Closes", page.evaluate(() =>
    Promise.all(window.wires.map(async ({ closed }) => (await closed).code))));
  assert.deepEqual(codes, Array(5).fill(1001));
});
