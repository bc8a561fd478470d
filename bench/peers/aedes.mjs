// aedes as a peer of the benchmark: TCP and WebSocket on free ports of 127.0.0.1, memory persistence, the limits lifted
// that would drop messages or connections. Prints its ports as one line of JSON and ends at SIGTERM.

import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { Aedes } from 'aedes';
import { createWebSocketStream, WebSocketServer } from 'ws';

const broker = await Aedes.createBroker({
  concurrency: 10_000,
  queueLimit: 1_000_000,
  drainTimeout: 0,
  maxInflightInbound: 65_535,
  maxClientsIdLength: 256,
});
broker.on('clientError', (client, error) => process.stderr.write(`${client?.id}: ${error.message}\n`));
broker.on('connectionError', (_client, error) => process.stderr.write(`${error.message}\n`));

const mqtt = createServer({ noDelay: true }, broker.handle);
const http = createHttpServer();
new WebSocketServer({ server: http, perMessageDeflate: false }).on('connection', (socket, request) => {
  broker.handle(createWebSocketStream(socket), request);
});

const listen = (server) =>
  new Promise((resolve) =>
    server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => resolve(server.address().port)),
  );
process.on('SIGTERM', () => process.exit(0));
process.stdout.write(`${JSON.stringify({ listening: { mqtt: await listen(mqtt), http: await listen(http) } })}\n`);
