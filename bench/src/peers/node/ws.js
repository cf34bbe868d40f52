// Node's `ws`, as its documentation has it: `node ws.js echo|publish`.

import { WebSocketServer } from "ws";

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: 0,
  backlog: 1024,
  perMessageDeflate: false,
  maxPayload: 16 * 1024 * 1024,
});
const answer = {
  echo: (socket, data, binary) => socket.send(data, { binary }),
  publish: (_, data, binary) => server.clients.forEach((client) => client.send(data, { binary })),
}[process.argv[2]];

server.on("connection", (socket) => {
  socket.on("message", (data, binary) => answer(socket, data, binary));
  socket.on("error", () => socket.terminate());
});
server.on("listening", () => console.log(`listening on ws://127.0.0.1:${server.address().port}`));
