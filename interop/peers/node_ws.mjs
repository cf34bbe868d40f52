// Node's `ws`, as a client of an echo server and as one, and as a subscriber: `client URL`, `server`, `subscriber URL`.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import process from "node:process";
import { WebSocket, WebSocketServer } from "ws";

const texts = ["", "Hello", "zażółć 🦀", "a".repeat(125), "a".repeat(126), "é".repeat(40_000)];
const binaries = [0, 1, 256, 65_535, 65_536, 1 << 20].map((length) => Buffer.from([...Array(length).keys()]));
const [CODE, REASON] = [4321, "that is all"];

const [, , role, url] = process.argv;
const value = (name) => {
    const at = process.argv.indexOf(name);
    return at < 0 ? undefined : process.argv[at + 1];
};
const file = (name) => value(name) && readFileSync(value(name));
const [ca, cert, key] = ["--ca", "--cert", "--key"].map(file);
const perMessageDeflate = process.argv.includes("--deflate");

if (role === "server") {
    const https = cert && createServer({ cert, key }).listen(0, "127.0.0.1");
    const where = https ? { server: https } : { host: "127.0.0.1", port: 0 };
    const server = new WebSocketServer({ ...where, perMessageDeflate });
    server.on("connection", (socket) => {
        socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
        socket.on("error", (error) => console.error(`a connection: ${error}`));
    });
    await once(server, "listening");
    console.log(`listening on ${https ? "wss" : "ws"}://127.0.0.1:${server.address().port}`);
} else if (role === "subscriber") {
    const rounds = 300;
    const text = (kind, index) => `{"${kind}":${index},"name":"name ${index % 7}"}`.repeat(1 + ((index * 7) % 41));
    const offer = {
        serverMaxWindowBits: Number(value("--window") ?? 15),
        serverNoContextTakeover: process.argv.includes("--no-takeover"),
    };
    const socket = new WebSocket(url, { perMessageDeflate: perMessageDeflate && offer, handshakeTimeout: 10_000 });
    const received = { own: 0, shared: 0, echo: 0 };
    socket.on("message", (data) => {
        const message = data.toString();
        const kind = message.split('"')[1];
        assert.equal(message, text(kind, received[kind]));
        received[kind] += 1;
        if (kind === "echo" && received.echo < rounds) {
            socket.send(text(kind, received.echo));
        }
        if (Object.values(received).every((count) => count === rounds)) {
            socket.close(CODE, REASON);
        }
    });
    await once(socket, "open");
    assert.equal(socket.extensions, perMessageDeflate ? "permessage-deflate" : "");
    const closed = once(socket, "close", { signal: AbortSignal.timeout(60_000) });
    socket.send(text("echo", 0));
    assert.equal((await closed)[0], CODE);
} else {
    const socket = new WebSocket(url, { ca, perMessageDeflate, handshakeTimeout: 10_000 });
    await once(socket, "open");
    assert.equal(socket.extensions, perMessageDeflate ? "permessage-deflate" : "");
    const signal = AbortSignal.timeout(60_000);
    for (const message of [...texts, ...binaries]) {
        const echoed = once(socket, "message", { signal });
        socket.send(message);
        const [data, isBinary] = await echoed;
        assert.equal(isBinary, typeof message !== "string");
        assert(data.equals(Buffer.from(message)), `${message.length} differ`);
    }
    const pong = once(socket, "pong", { signal });
    socket.ping("still there?");
    assert.equal((await pong)[0].toString(), "still there?");
    const closed = once(socket, "close", { signal });
    socket.close(CODE, REASON);
    assert.equal((await closed)[0], CODE);
}
