// The chat as people use it: its page in several tabs of a real browser. With CHAT_TLS=1, over TLS.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { after, before, test as it } from "node:test";

import {
  connectByHand, connected, endAll, eventually, heard, join, launch, note, online, readMessage, say, start, within,
} from "./support.mjs";

const MIB = 1 << 20;
const SECURE = process.env.CHAT_TLS === "1";
const FLAGS = SECURE ? ["--tls"] : [];
const SCHEME = SECURE ? "wss" : "ws";
const test = (name, body) => it(name, { timeout: 120_000 }, body);

let server, browser, context, ada, bob;

before(async () => {
  server = await start("chat", { flags: FLAGS });
  browser = await launch();
  context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    // The chat has made its certificate itself, and makes another when it is started again.
    ignoreHTTPSErrors: SECURE,
  });
  ada = await join(context, server.url, "Ada");
  bob = await join(context, server.url, "Bob");
});

after(async () => {
  try {
    assert.equal(await server.stop(), 0);
  } finally {
    await endAll();
  }
});

test("the page and its WebSocket come the way that was asked for", async () => {
  const found = await ada.evaluate(() => [location.protocol, new URL(socket.url).protocol, isSecureContext]);
  assert.deepEqual(found, [SECURE ? "https:" : "http:", `${SCHEME}:`, true]);
});

test("what one tab says reaches the other, both ways, emoji and all", async () => {
  for (const [from, to, name, text] of [
    [ada, bob, "Ada", "Grüße, 日本 👋🏽 👩‍👩‍👧‍👦"],
    [bob, ada, "Bob", "two lines:\n\t🎉 \u0000 </script>"],
  ]) {
    await say(from, text);
    assert.equal(await heard(to, text), name);
    assert.equal(await heard(from, text), name);
  }
});

test("markup is shown as the text that it is", async () => {
  const text = "<img src=x onerror=\"document.title='run'\"><b>bold</b>";
  await say(ada, text);
  await heard(bob, text);
  assert.equal(await bob.locator("#log .text b, #log .text img").count(), 0);
  assert.match(await bob.title(), /raddle/);
});

test("an address is a link that gives nothing away", async () => {
  const text = "See (https://example.org/a?b=c#d), or javascript:alert(1).";
  await say(ada, text);
  await heard(bob, text);
  const links = await bob.locator("#log .message").last().locator("a").evaluateAll((links) =>
    links.map(({ href, target, rel }) => [href, target, rel]));
  assert.deepEqual(links, [["https://example.org/a?b=c#d", "_blank", "noopener noreferrer"]]);
});

test("everybody sees who joins, who leaves and who is online", async () => {
  const grace = await join(context, server.url, "Grace");
  await note(ada, "Grace joined");
  for (const page of [ada, bob, grace]) assert.deepEqual(await online(page), ["Ada", "Bob", "Grace"]);
  const second = await join(context, server.url, "Grace");
  await note(second, "You are in the chat as Grace 2");
  await second.close();
  await note(ada, "Grace 2 left");
  await grace.close();
  await note(bob, "Grace left");
  for (const page of [ada, bob]) assert.deepEqual(await online(page), ["Ada", "Bob"]);
});

test("the Leave button closes with 4000, and Join comes back", async () => {
  const grace = await join(context, server.url, "Grace");
  const code = grace.evaluate(() => new Promise((resolve) => {
    socket.addEventListener("close", ({ code, wasClean }) => resolve([code, wasClean]));
  }));
  await grace.click("#leave");
  assert.deepEqual(await within("the connection is closed", code), [4000, true]);
  await note(ada, "Grace left");
  await grace.reload();
  assert.equal(await grace.locator("#state").getAttribute("data-state"), "left");
  await grace.press("#name", "Enter");
  await connected(grace);
  assert.deepEqual(await online(grace), ["Ada", "Bob", "Grace"]);
  await grace.close();
});

test("a picture is shown to everybody", async () => {
  const png = await ada.evaluate(async () => {
    const blob = await new OffscreenCanvas(40, 30).convertToBlob().catch(() => null)
      ?? await new Promise((resolve) => {
        const canvas = Object.assign(document.createElement("canvas"), { width: 40, height: 30 });
        canvas.getContext("2d").fillRect(5, 5, 10, 10);
        canvas.toBlob(resolve);
      });
    return [...new Uint8Array(await blob.arrayBuffer())];
  });
  await ada.setInputFiles("#file", { name: "a.png", mimeType: "image/png", buffer: Buffer.from(png) });
  for (const page of [ada, bob]) {
    const picture = page.locator("img.picture");
    await picture.waitFor();
    const size = () => picture.evaluate((image) => [image.naturalWidth, image.naturalHeight]);
    await eventually("the picture is decoded", async () => String(await size()) === "40,30");
  }
});

test("a file of exactly 1 MiB comes back equal, and reaches the other tab", async () => {
  const bytes = randomBytes(MIB);
  await ada.setInputFiles("#file", { name: "a.bin", mimeType: "application/octet-stream", buffer: bytes });
  for (const page of [ada, bob]) {
    const download = page.waitForEvent("download");
    await page.getByText("Download a file of 1,048,576 bytes").click();
    assert.ok(bytes.equals(await readFile(await (await download).path())));
  }
});

test("a file above 1 MiB is not sent, and the page says so", async () => {
  await ada.setInputFiles("#file", { name: "b", mimeType: "application/octet-stream", buffer: Buffer.alloc(MIB + 1) });
  await note(ada, "Message too large");
  await say(ada, "still here");
  await heard(bob, "still here");
});

test("a welcome of hundreds of fragments arrives whole", async () => {
  const count = 300;
  await ada.evaluate((count) => {
    for (let i = 0; i < count; i++) socket.send(JSON.stringify({ type: "say", text: `${i} 🧩 ${"x".repeat(i)}` }));
  }, count);
  const texts = Array.from({ length: count }, (_, i) => `${i} 🧩 ${"x".repeat(i)}`);
  await heard(bob, texts.at(-1));

  const socket = await connectByHand(SECURE, server.port, "/chat?name=Counter");
  const frames = await within("the welcome", readMessage(socket));
  assert.deepEqual(frames.map(({ opcode }) => opcode), [1, ...Array(frames.length - 1).fill(0)]);
  assert.ok(frames.length > count, `${frames.length} fragments`);

  const newest = texts.slice(-count);
  const welcome = await ada.evaluate(async (target) => {
    const { socket, next } = await wire(target);
    const message = JSON.parse(await next());
    socket.close();
    return message;
  }, `${SCHEME}://127.0.0.1:${server.port}/chat?name=Reader`);
  assert.equal(welcome.type, "welcome");
  assert.deepEqual(welcome.history.slice(-count).map(({ text }) => text), newest);

  const grace = await join(context, server.url, "Grace");
  assert.deepEqual((await grace.locator("#log .text").allTextContents()).slice(-count), newest);
  await grace.close();
});

test("close codes arrive as they were sent", async () => {
  for (const code of [1000, 3000, 4000, 4999]) {
    const closed = await ada.evaluate(async ([target, code]) => {
      const { socket, closed } = await wire(target);
      socket.close(code, "as it was sent");
      return closed;
    }, [`${SCHEME}://127.0.0.1:${server.port}/chat?name=Closer`, code]);
    assert.deepEqual([closed.code, closed.wasClean], [code, true]);
  }
});

test("a message over the limit closes with 1009, and what the chat refuses with its code and reason", async () => {
  const found = await ada.evaluate(async (target) => {
    const found = [];
    for (const wrong of ["x".repeat((1 << 20) + 1), new Uint8Array((1 << 20) + 1), "no JSON"]) {
      const { socket, closed } = await wire(target);
      socket.send(wrong);
      found.push(Object.values(await closed));
    }
    return found;
  }, `${SCHEME}://127.0.0.1:${server.port}/chat?name=Breaker`);
  assert.deepEqual(found, [
    [1009, "the message is too big", true],
    [1009, "the message is too big", true],
    [1008, "that is no JSON", true],
  ]);
});

test("the page says when the server found a message too large, and comes back", async () => {
  await bob.evaluate(() => socket.send("x".repeat((1 << 20) + 1)));
  await note(bob, "Message too large: the server closed the connection");
  await connected(bob);
  await say(ada, "welcome back");
  await heard(bob, "welcome back");
});

test("a peer that never reads holds up nobody, and is let go", async () => {
  const sloth = await connectByHand(SECURE, server.port, "/chat?name=Sloth");
  sloth.pause();
  await note(bob, "Sloth joined");
  const files = bob.locator("#log .file");
  const before = await files.count();
  const begun = Date.now();
  for (let i = 1; i <= 16; i++) {
    await ada.evaluate((bytes) => socket.send(new Uint8Array(bytes)), MIB);
    await eventually(`file ${i}`, async () => (await files.count()) === before + i);
  }
  // A server that waits for a slow peer would do so for 30 s before it gives it up.
  assert.ok(Date.now() - begun < 25_000, "the others were held up");
  await note(bob, "Sloth left");
  assert.deepEqual(await online(bob), ["Ada", "Bob"]);
  sloth.destroy();
});

test("no page has complained", () => {
  for (const page of [ada, bob]) assert.deepEqual(page.complaints, []);
});

test("the page fits a desk and a phone", async () => {
  for (const [width, height] of [[1280, 800], [390, 844], [320, 568]]) {
    await ada.setViewportSize({ width, height });
    await say(ada, `A word without an end at ${width}: ${"w".repeat(300)}`);
    await heard(ada, `A word without an end at ${width}: ${"w".repeat(300)}`);
    const room = await ada.evaluate(({ scrollWidth, scrollHeight } = document.documentElement) =>
      [scrollWidth, scrollHeight]);
    assert.deepEqual(room, [width, height]);
    for (const seen of ["#log .message:last-child", "#text", "#send", "#attach", "#leave", "#state"]) {
      const { x, y, ...box } = await ada.locator(seen).boundingBox();
      assert.ok(x >= 0 && y >= 0 && x + box.width <= width && y + box.height <= height, `${seen} at ${width}`);
    }
  }
  await ada.setViewportSize({ width: 1280, height: 800 });
});

test("a server that stops says 1001, and after its restart the tabs come back", async () => {
  const closed = ada.evaluate((target) => wire(target).then(({ closed }) => closed),
    `${SCHEME}://127.0.0.1:${server.port}/chat?name=Listener`);
  await note(bob, "Listener joined");
  assert.equal(await server.stop("SIGTERM"), 0);
  assert.deepEqual(await within("the Close", closed), { code: 1001, reason: "the server stops", wasClean: true });
  for (const page of [ada, bob]) {
    await note(page, "Connection lost (1001 the server stops). Reconnecting…");
    assert.equal(await page.locator("#state").textContent(), "Reconnecting…");
    assert.deepEqual(await online(page), []);
  }
  server = await start("chat", { port: server.port, flags: FLAGS });
  await comeBack("after the restart 🔁");
});

test("after a server that died without a word, the tabs come back too", async () => {
  assert.equal(await server.stop("SIGKILL"), "SIGKILL");
  for (const page of [ada, bob]) await note(page, "Connection lost (1006). Reconnecting…");
  server = await start("chat", { port: server.port, flags: FLAGS });
  await comeBack("after the crash 💥");
});

async function comeBack(text) {
  for (const page of [ada, bob]) {
    await connected(page);
    await eventually("both are online", async () => String(await online(page)) === "Ada,Bob");
  }
  await say(ada, text);
  assert.equal(await heard(bob, text), "Ada");
}
