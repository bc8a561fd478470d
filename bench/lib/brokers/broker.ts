// What the benchmark knows of a broker: whether it is installed, what it can do, how to start it afresh. One file of
// this folder per broker implements it; all.ts lists them. A broker listens on 127.0.0.1 only, on ports found free, and
// keeps its files in the directory it is given.

import type { BrokerProcess } from './process.ts';

export type Capability = 'mqtt' | 'mqtt5' | 'mqtt-qos2' | 'mqtt-websocket' | 'stomp';

export interface BenchBroker {
  /** As in `--brokers` and in the tables. */
  readonly name: string;
  readonly capabilities: readonly Capability[];
  /** What differs from its defaults, in a sentence for the results. */
  readonly settings: string;
  /** Virtual machines that compile while they run need longer than the scenario asks for. */
  readonly warmupMsMin: number;
  /** It starts so slowly that one process serves all scenarios; the others are started afresh for each run. */
  readonly isShared: boolean;
  /** Its version, or null when it is not installed. */
  version(): string | null;
  start(directory: string): Promise<RunningBroker>;
}

/** Ports are 0 where the broker does not serve the protocol. */
export interface RunningBroker {
  readonly process: BrokerProcess;
  readonly mqttPort: number;
  readonly stompPort: number;
  readonly websocketPort: number;
  readonly websocketPath: string;
  readonly user: string;
  readonly password: string;
  /** Where its process says how late its event loop is (loop-delay.ts); empty where nobody can know. */
  readonly loopDelayPath: string;
  stop(): Promise<void>;
}
