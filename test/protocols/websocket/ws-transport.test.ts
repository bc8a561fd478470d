import type { SocketMode } from '../../../src/io/tcp.ts';
import { describeTransport, type TransportCarrier } from '../../io/transport-suite.ts';
import { TestServer, WsClient } from './harness.ts';

/** Over a listener that tells protocols apart: the stream is taken out of the shared buffer again ('shared'), or was never in it. */
function ws(socketMode: SocketMode): TransportCarrier {
  return {
    name: `WebSocket by ws (listener reading by ${socketMode === 'shared' ? 'the shared buffer' : 'events'})`,
    kind: 'ws',
    skipped: '',
    knowsPort: true,
    stopsReading: true,
    async open(environment, accept) {
      const server = await new TestServer({
        environment,
        socketMode,
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
  };
}

describeTransport(ws('shared'));
describeTransport(ws('events'));
