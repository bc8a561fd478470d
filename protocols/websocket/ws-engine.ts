// WebSocket by the package `ws`, on streams that the HTTP adapter hands over at an upgrade.
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { WebSocketServer } from 'ws';
import type { TransportEnvironment } from '../../src/io/socket-transport.ts';
import type { Gate } from '../../src/server/gate.ts';
import { Phase } from '../../src/server/handshake.ts';
import { type Arrival, endWith, type UpgradeTarget } from '../../src/server/http.ts';
import { plainAnswer } from '../../src/server/pages.ts';
import { decideUpgrade, type WebSocketRules } from './negotiate.ts';
import { WsTransport } from './ws-transport.ts';

export interface WebSocketLimits {
  /** One WebSocket message. */
  readonly messageBytesMax: number;
  /** All bytes before the session is established, frame headers included. */
  readonly preAuthBytesMax: number;
}

export interface WebSocketParts {
  readonly environment: TransportEnvironment;
  readonly gate: Gate;
  readonly rules: WebSocketRules;
  readonly limits: WebSocketLimits;
}

/** What may be spoken inside a WebSocket. */
export function insideProtocols(gate: Gate): string[] {
  return gate.names.filter((name) => (gate.adapter(name)?.subprotocols.length ?? 0) > 0);
}

export class WsEngine implements UpgradeTarget {
  private readonly parts: WebSocketParts;
  private readonly server: WebSocketServer;

  constructor(parts: WebSocketParts) {
    this.parts = parts;
    this.server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      // Costs 100 KB per connection and a turn of the thread pool per message; what is sent here is small or compressed already.
      perMessageDeflate: false,
      maxPayload: parts.limits.messageBytesMax,
      // Chosen beforehand: the header names the one that was.
      handleProtocols: (_offered, request) => chosen.get(request) ?? false,
    });
  }

  upgrade(request: IncomingMessage, socket: Socket, head: Buffer, arrival: Arrival): void {
    const { environment, gate, rules, limits } = this.parts;
    const { listener, peer, handshake, descriptor } = arrival;
    const { host = '', origin = '', 'sec-websocket-protocol': subprotocols = '' } = request.headers;
    const decision = decideUpgrade({ target: request.url ?? '', host, origin, subprotocols, peer }, rules, gate);
    if (!decision.accepted) {
      gate.refused(listener, peer, decision.code, `WebSocket refused: ${decision.message}`);
      handshake.enter(Phase.AnswerNotRead);
      endWith(socket, plainAnswer(decision.status, `WebSocket refused: ${decision.message}.`));
      return;
    }
    const { adapter, subprotocol } = decision;
    chosen.set(request, subprotocol);
    handshake.enter(Phase.NoSession);
    this.server.handleUpgrade(request, socket, head, (webSocket) => {
      const transport = new WsTransport(
        environment,
        webSocket,
        socket,
        descriptor,
        listener,
        peer,
        limits.preAuthBytesMax,
        (code, message) => gate.refused(listener, peer, code, message),
      );
      if (adapter === null) {
        gate.receive(transport, insideProtocols(gate), handshake, (found) => transport.admit(found));
        return;
      }
      transport.admit(adapter);
      gate.assign(transport, adapter, subprotocol, handshake);
    });
  }

  close(): void {
    this.server.close();
  }
}

/** The subprotocol agreed on for a request under way. */
const chosen = new WeakMap<IncomingMessage, string>();
