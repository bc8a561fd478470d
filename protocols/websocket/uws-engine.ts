// HTTP and WebSocket by uWebSockets.js, which opens its own port: a listener that accepts nothing but HTTP. Plain requests are answered by the same pages.
//
// Its limits, which is why it serves only where it was asked for (engine.ts): it cannot stop reading from one WebSocket, it collects a whole message of a
// stranger before showing any of it, older versions do not tell the peer's port, and slow HTTP requests come under its own time limit of ten seconds.

import { STATUS_CODES } from 'node:http';
import { createServer } from 'node:net';
import { LimitedLog } from '../../src/io/limited-log.ts';
import type { Logger } from '../../src/io/logger.ts';
import { isLoopback, nothing } from '../../src/io/socket-transport.ts';
import { type ConnectionCount, ListenError, listenOn } from '../../src/io/tcp.ts';
import type { Peer } from '../../src/io/transport.ts';
import type { ListenerSpec, StreamListener } from '../../src/server/listener.ts';
import { type HttpAnswer, type HttpHandler, plainAnswer } from '../../src/server/pages.ts';
import type { ProtocolAdapter } from '../../src/server/protocol.ts';
import { decideUpgrade } from './negotiate.ts';
import type { Uws, UwsApp, UwsRequest, UwsResponse, UwsWebSocket } from './uws-api.ts';
import { UwsTransport } from './uws-transport.ts';
import { insideProtocols, type WebSocketParts } from './ws-engine.ts';

/** A peer that is silent for so long is asked (ping) and given up when it does not answer. Also ends streams whose peer never closes. */
const IDLE_TIMEOUT_S = 120;

/** What a WebSocket is given by its upgrade. */
class Upgraded {
  readonly peer: Peer;
  readonly adapter: ProtocolAdapter | null;
  readonly subprotocol: string;
  transport: UwsTransport | null = null;

  constructor(peer: Peer, adapter: ProtocolAdapter | null, subprotocol: string) {
    this.peer = peer;
    this.adapter = adapter;
    this.subprotocol = subprotocol;
  }
}

export interface UwsParts extends WebSocketParts {
  readonly connections: ConnectionCount;
  readonly handler: HttpHandler;
  readonly logger: Logger;
}

export class UwsListener implements StreamListener {
  readonly name: string;
  private readonly uws: Uws;
  private readonly parts: UwsParts;
  private readonly spec: ListenerSpec;
  private readonly app: UwsApp;
  private readonly refusals: LimitedLog;
  private token: object | null = null;

  constructor(uws: Uws, parts: UwsParts, spec: ListenerSpec) {
    this.name = spec.name;
    this.uws = uws;
    this.parts = parts;
    this.spec = spec;
    this.refusals = new LimitedLog(parts.environment.clock, parts.logger, 1);
    this.app = uws.createApp();
    this.app.ws('/*', {
      compression: 0,
      maxPayloadLength: parts.limits.messageBytesMax,
      // None of its own: it would drop what is over it. Sessions bound what waits for their peer.
      maxBackpressure: 0,
      idleTimeout: IDLE_TIMEOUT_S,
      sendPingsAutomatically: true,
      upgrade: (response, request, context) => this.onUpgrade(response, request, context),
      open: (webSocket) => this.onOpen(webSocket),
      message: (webSocket, message, isBinary) => upgradedOf(webSocket).transport?.onUwsMessage(message, !isBinary),
      drain: (webSocket) => upgradedOf(webSocket).transport?.onUwsDrain(),
      close: (webSocket) => {
        parts.connections.leave();
        upgradedOf(webSocket).transport?.onUwsClose();
      },
    });
    this.app.any('/*', (response, request) => {
      const method = request.getCaseSensitiveMethod();
      respond(response, parts.handler(method, targetOf(request)), method === 'HEAD');
    });
  }

  async listen(): Promise<{ host: string; port: number }> {
    const { name, host, port } = this.spec;
    const token = await new Promise<object | false>((resolve) => this.app.listen(host, port, resolve));
    if (token === false) throw new ListenError(name, host, port, await reasonNotToListen(host, port));
    this.token = token;
    return { host, port: this.uws.portOf(token) };
  }

  close(): Promise<void> {
    if (this.token !== null) this.uws.stopListening(this.token);
    this.token = null;
    return Promise.resolve();
  }

  private onUpgrade(response: UwsResponse, request: UwsRequest, context: object): void {
    const { gate, rules, connections } = this.parts;
    const peer = peerOf(response);
    const decision = decideUpgrade(
      {
        target: targetOf(request),
        host: request.getHeader('host'),
        origin: request.getHeader('origin'),
        subprotocols: request.getHeader('sec-websocket-protocol'),
        peer,
      },
      rules,
      gate,
    );
    if (!decision.accepted) {
      gate.refused(this.name, peer, decision.code, `WebSocket refused: ${decision.message}`);
      respond(response, plainAnswer(decision.status, `WebSocket refused: ${decision.message}.`), false);
      return;
    }
    if (!connections.enter()) {
      connections.logRefusal(this.refusals, this.name);
      respond(response, plainAnswer(503, 'Too many connections.'), false);
      return;
    }
    const { adapter, subprotocol } = decision;
    const key = request.getHeader('sec-websocket-key');
    // Extensions are not passed on: nothing is compressed.
    response.upgrade(new Upgraded(peer, adapter, subprotocol), key, subprotocol, '', context);
  }

  private onOpen(webSocket: UwsWebSocket): void {
    const { environment, gate, limits } = this.parts;
    const upgraded = upgradedOf(webSocket);
    const { peer, adapter, subprotocol } = upgraded;
    const refused = (code: string, message: string): void => gate.refused(this.name, peer, code, message);
    const transport = new UwsTransport(environment, webSocket, this.name, peer, limits.preAuthBytesMax, refused);
    upgraded.transport = transport;
    if (adapter === null) {
      gate.receive(transport, insideProtocols(gate), null, (found) => transport.admit(found));
      return;
    }
    transport.admit(adapter);
    gate.assign(transport, adapter, subprotocol);
  }
}

function upgradedOf(webSocket: UwsWebSocket): Upgraded {
  return webSocket.getUserData() as Upgraded;
}

function targetOf(request: UwsRequest): string {
  const query = request.getQuery() ?? '';
  return query === '' ? request.getUrl() : `${request.getUrl()}?${query}`;
}

function respond(response: UwsResponse, { status, headers, body }: HttpAnswer, withoutBody: boolean): void {
  // Complete before this returns; but the answer to HEAD does not count as that, and the engine ends the process for it.
  response.onAborted(nothing);
  response.writeStatus(`${status} ${STATUS_CODES[status] ?? ''}`);
  for (const [name, value] of Object.entries(headers)) if (name !== 'content-length') response.writeHeader(name, value);
  if (withoutBody) response.endWithoutBody(Number(headers['content-length'] ?? 0), true);
  else response.end(body, true);
}

function peerOf(response: UwsResponse): Peer {
  const address = addressText(new Uint8Array(response.getRemoteAddress()));
  return { address, port: response.getRemotePort?.() ?? 0, loopback: isLoopback(address) };
}

/** An address of 4 or 16 bytes as Node writes it; '' when there is none. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) return '';
  const mapped = bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  if (mapped) return `::ffff:${bytes.subarray(12).join('.')}`;
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16));
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

/** The engine does not say why it cannot listen; Node does. */
async function reasonNotToListen(host: string, port: number): Promise<NodeJS.ErrnoException> {
  const server = createServer();
  try {
    await listenOn(server, { host, port, exclusive: true });
    server.close();
    return new Error('uWebSockets.js cannot listen there and does not say why');
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
}
