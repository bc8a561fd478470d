// A whole broker on free ports of 127.0.0.1: in this process, so that a test can look at its log, or as the compiled executable in a process of its own, so
// that it can be sent signals. Clients register here what ends them; closing the broker ends them first.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ConfigInput } from '../../src/config.ts';
import { createBroker, type EmbeddedBroker } from '../../src/embed/broker.ts';
import { KeptLogger, type LogLine } from '../../src/io/logger.ts';
import { executable } from './built.ts';
import { DEADLINE_MS, inTime } from './inbox.ts';

/** A client that outlives a test holds its process up. Ends it for good, also when it has ended already. */
export interface Ending {
  close(): Promise<void>;
}

/** Where the listeners are. Every listener takes every protocol; the names are those of the configuration. */
export interface Ports {
  readonly mqtt: number;
  readonly stomp: number;
  readonly http: number;
}

const EVERYWHERE = { mqtt: '127.0.0.1:0', stomp: '127.0.0.1:0', http: '127.0.0.1:0' } as const;

function portsOf(addresses: readonly { readonly name: string; readonly port: number }[]): Ports {
  const port = (name: string): number => addresses.find((address) => address.name === name)?.port ?? 0;
  return { mqtt: port('mqtt'), stomp: port('stomp'), http: port('http') };
}

/** What both kinds have in common: addresses, and clients to end. */
export abstract class Running {
  readonly ports: Ports;
  private readonly clients: Ending[] = [];

  constructor(ports: Ports) {
    this.ports = ports;
  }

  get mqttUrl(): string {
    return `mqtt://127.0.0.1:${this.ports.mqtt}`;
  }

  /** path: '/mqtt', '/stomp' or '/ws'. */
  wsUrl(path: string): string {
    return `ws://127.0.0.1:${this.ports.http}${path}`;
  }

  httpUrl(path: string): string {
    return `http://127.0.0.1:${this.ports.http}${path}`;
  }

  /** Has it ended with the broker. */
  keep<C extends Ending>(client: C): C {
    this.clients.push(client);
    return client;
  }

  async closeClients(): Promise<void> {
    for (const client of this.clients.splice(0)) await client.close();
  }

  abstract close(): Promise<void>;
}

export class RealBroker extends Running {
  readonly broker: EmbeddedBroker;
  readonly logger: KeptLogger;

  private constructor(broker: EmbeddedBroker, logger: KeptLogger) {
    super(portsOf(broker.addresses));
    this.broker = broker;
    this.logger = logger;
  }

  static async start(config: ConfigInput = {}): Promise<RealBroker> {
    const logger = new KeptLogger();
    const broker = await createBroker({ config: { listeners: EVERYWHERE, ...config }, logger });
    try {
      await broker.listen();
    } catch (error) {
      await broker.close();
      throw error;
    }
    return new RealBroker(broker, logger);
  }

  /** Its warnings and errors. */
  get complaints(): LogLine[] {
    return this.logger.lines.filter(({ level }) => level === 'warn' || level === 'error');
  }

  async close(): Promise<void> {
    await this.closeClients();
    await inTime('the broker to close', this.broker.close());
  }
}

export class BrokerProcess extends Running {
  readonly process: ChildProcess;
  readonly exited: Promise<number | null>;
  private readonly folder: string;
  private readonly flags: readonly string[];
  private readonly said: { err: string };

  private constructor(
    ports: Ports,
    parts: Pick<BrokerProcess, 'process' | 'exited'> & {
      folder: string;
      flags: readonly string[];
      said: { err: string };
    },
  ) {
    super(ports);
    this.process = parts.process;
    this.exited = parts.exited;
    this.folder = parts.folder;
    this.flags = parts.flags;
    this.said = parts.said;
  }

  /** flags: as after `sluice start`. */
  static start(...flags: string[]): Promise<BrokerProcess> {
    return BrokerProcess.startIn(mkdtempSync(join(tmpdir(), 'sluice-test-')), flags);
  }

  /** Kills it and starts another one on what it has left; its clients are ended with it. */
  async killAndStart(): Promise<BrokerProcess> {
    this.kill('SIGKILL');
    await this.exited;
    await this.closeClients();
    return BrokerProcess.startIn(this.folder, this.flags);
  }

  private static async startIn(folder: string, flags: readonly string[]): Promise<BrokerProcess> {
    const any = ['--mqtt', '127.0.0.1:0', '--stomp', '127.0.0.1:0', '--http', '127.0.0.1:0'];
    const args = [executable(), 'start', '--json', ...any, '--data', join(folder, 'data'), ...flags];
    const child = spawn(process.execPath, args, {
      cwd: folder,
      env: { PATH: process.env.PATH },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const exited = once(child, 'exit').then(([code]) => code as number | null);
    const said = { err: '' };
    child.stderr.on('data', (chunk) => {
      said.err += String(chunk);
    });
    let line = '';
    const listening = new Promise<Ports>((resolve, reject) => {
      child.stdout.on('data', (chunk) => {
        line += String(chunk);
        if (line.includes('\n'))
          resolve(portsOf((JSON.parse(line) as { listening: { name: string; port: number }[] }).listening));
      });
      void exited.then((code) => reject(new Error(`it ended with ${code}: ${said.err}`)));
    });
    try {
      return new BrokerProcess(await inTime('the broker to listen', listening), {
        process: child,
        exited,
        folder,
        flags,
        said,
      });
    } catch (error) {
      child.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Its log. */
  get log(): string {
    return this.said.err;
  }

  kill(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }

  async close(): Promise<void> {
    await this.closeClients();
    const late = setTimeout(() => this.process.kill('SIGKILL'), DEADLINE_MS);
    this.process.kill('SIGTERM');
    await this.exited;
    clearTimeout(late);
    rmSync(this.folder, { recursive: true, force: true });
  }
}
