// Which engine carries WebSockets. `ws` serves every listener that accepts HTTP, since it takes over streams after their protocol was detected.
// uWebSockets.js opens its own port, so it can serve only listeners that accept nothing but HTTP.
//
// `auto` is `ws`, also where uWebSockets.js is installed, because that one cannot do what a listener here has to: hold back a peer that publishes faster
// than its messages can be taken (it has no way to stop reading from one WebSocket; such a peer is disconnected instead), and bound what strangers may
// send (it collects a whole message first). Who prefers its speed to these says so by `uws`: measured on Node 20 over the loopback, echoing through the
// transport, it does 1.3 to 1.4 times the messages of 100 bytes per CPU-second, and 4 times those of 16 KB, where `ws` unmasks byte by byte in JavaScript.
import type { ListenerSpec, StreamListener } from '../../src/server/listener.ts';
import { loadUws, UWS_MODULE, type Uws } from './uws-api.ts';
import { UwsListener, type UwsParts } from './uws-engine.ts';
import { WsEngine } from './ws-engine.ts';

export type EngineChoice = 'auto' | 'ws' | 'uws';

/** The configured engine cannot serve. The message names the option and the way out. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
}

export class WebSockets {
  /** Serves upgrades of listeners that the broker opens itself. */
  readonly upgrades: WsEngine;
  private readonly uws: Uws | null;
  private readonly parts: UwsParts;

  private constructor(uws: Uws | null, parts: UwsParts) {
    this.uws = uws;
    this.parts = parts;
    this.upgrades = new WsEngine(parts);
  }

  /** Rejects with an EngineError when `uws` is asked for and cannot be had. */
  static async create(
    choice: EngineChoice,
    parts: UwsParts,
    listeners: readonly ListenerSpec[],
    load: () => Promise<Uws> = loadUws,
  ): Promise<WebSockets> {
    if (choice !== 'uws') return new WebSockets(null, parts);
    const uws = await load().catch((error: unknown) => {
      throw new EngineError(
        `websocket.engine: uws is not possible; ${UWS_MODULE} cannot be imported (${firstLine(error)}). Install it beside the broker, or choose ws`,
        { cause: error },
      );
    });
    if (!listeners.some(servesOnlyHttp)) {
      const [{ name } = { name: 'http' }] = listeners.filter(({ accept }) => accept.includes('http')).slice(-1);
      throw new EngineError(
        `websocket.engine: uws is not possible; ${UWS_MODULE} opens its own port and speaks only HTTP there, without TLS, and every listener does more. ` +
          `Set listeners.${name}.accept to [http], or choose ws`,
      );
    }
    return new WebSockets(uws, parts);
  }

  /** The listener of uWebSockets.js for `spec`, or null when it is not to serve it. */
  listenerFor(spec: ListenerSpec): StreamListener | null {
    if (this.uws === null || !servesOnlyHttp(spec)) return null;
    return new UwsListener(this.uws, this.parts, spec);
  }

  close(): void {
    this.upgrades.close();
  }
}

function servesOnlyHttp({ accept, secure }: ListenerSpec): boolean {
  return !secure && accept.length === 1 && accept[0] === 'http';
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n', 1)[0]!;
}
