import { loadUws } from '../../../protocols/websocket/uws-api.ts';
import { describeTransport } from '../../io/transport-suite.ts';
import { requirement } from '../../support/requirements.ts';
import { TestServer, WsClient } from './harness.ts';

const { available, reason } = requirement('uws');

describeTransport({
  name: 'WebSocket by uWebSockets.js',
  kind: 'ws',
  skipped: available ? '' : reason,
  // Its WebSockets do not tell it, before version 20.52.
  knowsPort: false,
  stopsReading: false,
  async open(environment, accept) {
    const server = await new TestServer({
      environment,
      uws: await loadUws(),
      onAccept: ({ transport }) => {
        accept(transport);
        transport.established();
      },
    }).listen();
    return {
      connect: () => WsClient.connect(`ws://127.0.0.1:${server.port}/mqtt`, ['mqtt']),
      close: () => server.close(),
    };
  },
});
