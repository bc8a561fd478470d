// What a broker of the executable is made of, and its start.
import type { Config } from '../config.ts';
import { BrokerError } from '../core/errors.ts';
import type { Logger } from '../io/logger.ts';

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
  /** Stops accepting, drains, syncs and closes. */
  close(): Promise<void>;
}

/** Resolves once every listener listens. Rejects with the system's error when one cannot. */
export function startBroker(_config: Config, _logger: Logger): Promise<RunningBroker> {
  return Promise.reject(new BrokerError('not-found', 'this build has no server'));
}
