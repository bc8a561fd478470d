// mosquitto's own command line clients, each a process of its own that is ended with the broker it talks to.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Inbox, inTime } from './inbox.ts';
import type { Ending, Running } from './real-broker.ts';
import { requirement } from './requirements.ts';

/** As -V takes it. */
export type MosquittoVersion = 'mqttv31' | 'mqttv311' | 'mqttv5';

export interface Printed {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  /** MQTT 5; '' in older versions and when absent. */
  readonly contentType: string;
  readonly responseTopic: string;
  readonly correlationData: string;
  readonly messageExpiryInterval: string;
  /** name:value, separated by spaces. */
  readonly userProperties: string;
  readonly subscriptionIdentifier: string;
}

const FORMAT = '%q\\t%r\\t%x\\t%C\\t%R\\t%D\\t%E\\t%P\\t%S\\t%t';
/** Retained here, and subscribed to by every MosquittoSub besides its own filters: once it has come, the subscriptions are in force. */
const READY = 'mosquitto-sub/is/ready';

function parse(line: string): Printed {
  const [
    qos = '',
    retain,
    payload = '',
    contentType = '',
    responseTopic = '',
    correlationData = '',
    expiry = '',
    userProperties = '',
    subscriptionIdentifier = '',
    topic = '',
  ] = line.split('\t');
  return {
    topic,
    payload: Buffer.from(payload, 'hex'),
    qos: Number(qos),
    retain: retain === '1',
    contentType,
    responseTopic,
    correlationData,
    messageExpiryInterval: expiry,
    userProperties,
    subscriptionIdentifier,
  };
}

export class MosquittoSub implements Ending {
  readonly messages = new Inbox<Printed>(({ topic, payload }) => `${topic} ${payload.toString().slice(0, 60)}`);
  private readonly ready = new Inbox<Printed>();
  private readonly process: ChildProcess;
  private readonly exited: Promise<unknown>;
  private said = '';

  private constructor(port: number, args: readonly string[]) {
    const fixed = ['-h', '127.0.0.1', '-p', String(port), '-F', FORMAT];
    this.process = spawn(requirement('mosquittoSub').path, [...fixed, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.exited = once(this.process, 'exit');
    let rest = '';
    this.process.stdout?.on('data', (chunk) => {
      const lines = (rest + String(chunk)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const message = parse(line);
        (message.topic === READY ? this.ready : this.messages).put(message);
      }
    });
    this.process.stderr?.on('data', (chunk) => {
      this.said += String(chunk);
    });
  }

  /** args: as on the command line, but host, port and format. */
  static async start(broker: Running, ...args: string[]): Promise<MosquittoSub> {
    await mosquittoPub(broker, ['-r', '-q', '1', '-t', READY, '-m', 'ready']);
    const client = broker.keep(new MosquittoSub(broker.ports.mqtt, [...args, '-t', READY]));
    const failed = client.exited.then(() => Promise.reject(new Error(`mosquitto_sub ended: ${client.said}`)));
    failed.catch(() => undefined);
    await Promise.race([client.ready.next('the retained message that all get'), failed]);
    return client;
  }

  /** Runs it to its own end (-E, -C or -W among the arguments). */
  static async run(broker: Running, ...args: string[]): Promise<Printed[]> {
    const client = broker.keep(new MosquittoSub(broker.ports.mqtt, args));
    await inTime('mosquitto_sub to end', client.exited);
    if (client.process.exitCode !== 0)
      throw new Error(`mosquitto_sub ended with ${client.process.exitCode}: ${client.said}`);
    return client.messages.waiting;
  }

  async nextText(): Promise<string> {
    const { topic, payload } = await this.messages.next('a message');
    return `${topic} ${payload.toString()}`;
  }

  /** Killed, so that it cannot say goodbye. */
  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.exited;
  }

  close(): Promise<void> {
    return this.kill();
  }
}

/** Runs mosquitto_pub to its end; standard input is what it sends with -s and -l. Rejects when it reports a failure. */
export async function mosquittoPub(
  broker: Running,
  args: readonly string[],
  input: Buffer | string = '',
): Promise<void> {
  await runToEnd(broker, 'mosquittoPub', args, input);
}

/** Runs mosquitto_rr to its end: resolves with the answer it got. */
export function mosquittoRr(broker: Running, args: readonly string[]): Promise<string> {
  return runToEnd(broker, 'mosquittoRr', args, '');
}

async function runToEnd(
  broker: Running,
  name: 'mosquittoPub' | 'mosquittoRr',
  args: readonly string[],
  input: Buffer | string,
): Promise<string> {
  const all = ['-h', '127.0.0.1', '-p', String(broker.ports.mqtt), ...args];
  const child = spawn(requirement(name).path, all, { stdio: ['pipe', 'pipe', 'pipe'] });
  broker.keep({
    close: async () => {
      child.kill('SIGKILL');
    },
  });
  let said = '';
  let printed = '';
  child.stderr.on('data', (chunk) => {
    said += String(chunk);
  });
  child.stdout.on('data', (chunk) => {
    printed += String(chunk);
  });
  // Not 'exit': what it has printed may still be on its way then.
  const exited = once(child, 'close');
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [code] = await inTime(`${requirement(name).path} to end`, exited);
  if (code !== 0) throw new Error(`${requirement(name).path} ended with ${code}: ${said}`);
  return printed;
}
