// A broker from its configuration: composed, recovered, listening; and its way back.
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { WebSockets } from '../../protocols/websocket/engine.ts';
import { type Config, enabledListeners, type ListenerConfig } from '../config.ts';
import type { Clock } from '../io/clock.ts';
import type { Logger } from '../io/logger.ts';
import { ConnectionCount } from '../io/tcp.ts';
import type { Turn } from '../io/turn.ts';
import { CONGESTED_BYTES } from '../limits.ts';
import { Certificate, type CertificateFiles } from './certificate.ts';
import { type BroughtParts, compose } from './compose.ts';
import { Gate } from './gate.ts';
import { HttpAdapter } from './http.ts';
import { Listener, type StreamListener, type TlsParts } from './listener.ts';
import { servePages } from './pages.ts';
import type { Server } from './server.ts';

export interface ListeningAddress {
  /** Name of the listener in the configuration. */
  readonly name: string;
  readonly protocol: string;
  readonly host: string;
  /** The port it has, also where 0 was asked for. */
  readonly port: number;
}

export interface RunningBroker {
  readonly addresses: readonly ListeningAddress[];
  readonly dataDir: string;
  /** Stops accepting, drains, syncs and closes. Rejects with what hindered the log from taking the last of it, once all is closed. */
  close(): Promise<void>;
}

/** A broker that has recovered and that listens when it is told to. */
export interface OpenBroker {
  readonly server: Server;
  readonly turn: Turn;
  /** Opens every listener, or none: rejects with the first one's ListenError. */
  listen(): Promise<readonly ListeningAddress[]>;
  close(): Promise<void>;
}

export async function openBroker(config: Config, logger: Logger, brought: BroughtParts = {}): Promise<OpenBroker> {
  const { server, adapters, users, clock, turn, arena } = compose(config, logger, brought);
  await server.open();
  const gate = new Gate({ clock, logger, handshakeTimeoutMs: config.connection.handshakeTimeoutMs });
  for (const adapter of adapters) gate.add(adapter);
  const connections = new ConnectionCount(config.connection.max);
  const environment = { arena, turn, clock, congestedBytes: CONGESTED_BYTES };
  const specs = enabledListeners(config).map((spec) => ({ ...spec, secure: spec.tls !== null }));
  const { engine, paths, origins, messageBytesMax } = config.websocket;
  const websockets = await WebSockets.create(
    engine,
    {
      environment,
      gate,
      rules: { paths, origins },
      limits: { messageBytesMax, preAuthBytesMax: config.connection.preAuthBytesMax },
      connections,
      handler: servePages,
      logger,
    },
    specs,
  );
  const http = new HttpAdapter({ gate, handler: servePages, upgrades: websockets.upgrades });
  gate.add(http);
  const listeners: StreamListener[] = [];
  const closeListeners = (): Promise<unknown> => Promise.all(listeners.splice(0).map((listener) => listener.close()));

  return {
    server,
    turn,
    async listen() {
      const addresses: ListeningAddress[] = [];
      try {
        for (const spec of specs) {
          const { name, accept } = spec;
          const tls = tlsOf(spec, config, clock, logger);
          const parts = { environment, connections, gate, logger };
          const listener = websockets.listenerFor(spec) ?? new Listener(tls === null ? parts : { ...parts, tls }, spec);
          const bound = await listener.listen();
          listeners.push(listener);
          addresses.push({ name, protocol: accept.join(', '), host: bound.host, port: bound.port });
        }
      } catch (error) {
        await closeListeners();
        throw error;
      }
      return addresses;
    },
    async close() {
      await closeListeners();
      gate.close();
      try {
        await server.close();
      } finally {
        http.close();
        websockets.close();
        await users.close();
      }
    },
  };
}

const CERTIFICATE_FILES: CertificateFiles = {
  read: (path) => readFileSync(path),
  stamp: (path) => {
    const { mtimeMs, size, ino } = statSync(path);
    return `${mtimeMs} ${size} ${ino}`;
  },
};

/** null where no TLS is spoken. Throws a CertificateError. */
export function certificateOf({ name, tls }: ListenerConfig, clock: Clock, logger: Logger): Certificate | null {
  if (tls === null) return null;
  const { certificate, key, clientCa = null } = tls;
  return new Certificate(name, { certificate, key, clientCa }, CERTIFICATE_FILES, clock, logger);
}

function tlsOf(listener: ListenerConfig, config: Config, clock: Clock, logger: Logger): TlsParts | null {
  const certificate = certificateOf(listener, clock, logger);
  if (certificate === null) return null;
  const { versionMin } = listener.tls!;
  return { certificate, rules: { versionMin, handshakeTimeoutMs: config.connection.handshakeTimeoutMs } };
}

/** Resolves once every listener listens. Rejects with the system's error when one cannot. */
export async function startBroker(config: Config, logger: Logger): Promise<RunningBroker> {
  const broker = await openBroker(config, logger);
  try {
    const addresses = await broker.listen();
    return { addresses, dataDir: resolve(config.data.dir), close: () => broker.close() };
  } catch (error) {
    await broker.close();
    throw error;
  }
}
