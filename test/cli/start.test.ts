import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { banner, jsonLine } from '../../src/cli/banner.ts';
import { Refusal, whyNotStarted } from '../../src/cli/refusal.ts';
import { resolveConfig } from '../../src/config.ts';
import { BrokerError } from '../../src/core/errors.ts';
import { ListenError } from '../../src/io/tcp.ts';
import { CertificateError } from '../../src/server/certificate.ts';
import { executable } from '../support/built.ts';

executable();

/** A child that runs start-child.mjs, and what it has said so far. */
class Child {
  stdout = '';
  stderr = '';
  readonly process: ChildProcess;
  readonly exited: Promise<number | null>;

  constructor(script: string, args: readonly string[]) {
    const env = { PATH: process.env.PATH };
    this.process = spawn(process.execPath, [script, ...args], { env });
    this.process.stdout?.on('data', (chunk) => {
      this.stdout += chunk;
    });
    this.process.stderr?.on('data', (chunk) => {
      this.stderr += chunk;
    });
    this.exited = once(this.process, 'close').then(([code]) => code as number | null);
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      const data = Promise.race([
        once(this.process.stdout as NodeJS.ReadableStream, 'data'),
        once(this.process.stderr as NodeJS.ReadableStream, 'data'),
      ]);
      const ended = await Promise.race([data.then(() => false), this.exited.then(() => true)]);
      if (ended && !condition()) throw new Error(`it ended: ${this.stdout}${this.stderr}`);
    }
  }
}

const children: Child[] = [];
afterEach(() => {
  for (const { process } of children.splice(0)) process.kill('SIGKILL');
});

function child(...args: string[]): Child {
  return run(join(import.meta.dirname, 'start-child.mjs'), args);
}

function run(script: string, args: readonly string[]): Child {
  const started = new Child(script, args);
  children.push(started);
  return started;
}

describe('sluice start', () => {
  it('says where it listens and where its data is, in lines for a reader', async () => {
    const broker = child('good');
    await broker.until(() => broker.stdout.includes('data'));
    expect(broker.stdout).toMatch(/^Sluice \d+\.\d+\.\d+ is listening\n\n {2}mqtt +127\.0\.0\.1:4711\n/);
  });

  it('prints exactly one line with --json, and its log elsewhere', async () => {
    const broker = child('good', '--json');
    await broker.until(() => broker.stdout.includes('\n'));
    broker.process.kill('SIGTERM');
    expect(await broker.exited).toBe(0);
    expect(JSON.parse(broker.stdout)).toEqual({
      listening: [{ name: 'mqtt', host: '127.0.0.1', port: 4711 }],
      dataDir: '/var/lib/sluice',
      pid: broker.process.pid,
    });
    expect(broker.stdout.indexOf('\n')).toBe(broker.stdout.length - 1);
    const messages = broker.stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).msg);
    expect(messages).toEqual(['starting', 'stopping', 'stopped']);
  });

  it('runs the real broker on free ports until it is told to stop', async () => {
    const flags = ['--mqtt', '127.0.0.1:0', '--stomp', '127.0.0.1:0', '--http', 'off', '--data', '/nowhere', '--json'];
    const broker = run(executable(), ['start', ...flags]);
    await broker.until(() => broker.stdout.includes('\n'));
    const { listening, dataDir } = JSON.parse(broker.stdout);
    expect(dataDir).toBe('/nowhere');
    expect(listening).toEqual([
      { name: 'mqtt', host: '127.0.0.1', port: expect.any(Number) },
      { name: 'stomp', host: '127.0.0.1', port: expect.any(Number) },
    ]);
    for (const { host, port } of listening) {
      const client = connect(port, host);
      await once(client, 'connect');
      client.destroy();
    }
    broker.process.kill('SIGTERM');
    expect(await broker.exited).toBe(0);
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`closes the broker on ${signal} and ends with 0`, async () => {
      const broker = child('good');
      await broker.until(() => broker.stdout.includes('data'));
      broker.process.kill(signal);
      expect(await broker.exited).toBe(0);
      expect(broker.stderr).toContain('"stopped"');
    });
  }

  it('ends at once on a second signal, but takes an echo of the first for the first', async () => {
    const broker = child('stuck');
    await broker.until(() => broker.stdout.includes('data'));
    broker.process.kill('SIGTERM');
    await broker.until(() => broker.stderr.includes('"stopping"'));
    broker.process.kill('SIGINT');
    // Sent again until it counts as a second one; one that comes too soon must not.
    let sent = 1;
    const again = setInterval(() => {
      sent++;
      broker.process.kill('SIGINT');
    }, 50);
    expect(await broker.exited).toBe(130);
    clearInterval(again);
    expect(sent).toBeGreaterThan(2);
    expect(broker.stderr).toContain('stopped at once by a second signal');
  });

  it('cuts off a broker that does not close in time', async () => {
    const broker = child('slow');
    await broker.until(() => broker.stdout.includes('data'));
    broker.process.kill('SIGTERM');
    expect(await broker.exited).toBe(1);
    expect(broker.stderr).toContain('not closed in time');
  });

  it('says what the log failed of when that happens while it stops, and ends with 70', async () => {
    const broker = child('failing');
    await broker.until(() => broker.stdout.includes('data'));
    broker.process.kill('SIGTERM');
    expect(await broker.exited).toBe(70);
    const last = JSON.parse(broker.stderr.trim().split('\n').at(-1) ?? '');
    expect(last).toMatchObject({ level: 'error', error: { message: 'EIO: i/o error, write' } });
  });

  for (const [fault, message] of [
    ['faulty', 'a fault'],
    ['rejecting', 'a lost promise'],
  ] as const) {
    it(`logs what nobody caught (${fault}) and ends with 70`, async () => {
      const broker = child(fault);
      expect(await broker.exited).toBe(70);
      const last = JSON.parse(broker.stderr.trim().split('\n').at(-1) ?? '');
      expect(last).toMatchObject({ level: 'error', msg: 'stopped by a fault of its own', error: { message } });
    });
  }

  it('ends with one line and no stack when a port is taken', async () => {
    const broker = child('occupied');
    expect(await broker.exited).toBe(1);
    expect(broker.stderr.trim().split('\n').at(-1)).toMatch(
      /^Refusal: listener mqtt cannot listen on 127\.0\.0\.1:1883: .*EADDRINUSE.*; the option is listeners\.mqtt$/,
    );
    expect(broker.stdout).toBe('');
  });
});

describe('why a broker did not start', () => {
  const system = (fields: object) => Object.assign(new Error('x'), fields);

  it('names the listener, its address, the reason and the option', () => {
    const line = whyNotStarted(new ListenError('plant', '0.0.0.0', 884, system({ code: 'EACCES' })));
    expect(line).toMatch(
      /^listener plant cannot listen on 0\.0\.0\.0:884: .*EACCES.*; the option is listeners\.plant$/,
    );
  });

  it('names the file of the data directory that cannot be used', () => {
    expect(whyNotStarted(system({ code: 'EACCES', syscall: 'mkdir', path: '/root/x' }))).toBe(
      'data.dir: cannot use /root/x: permission denied',
    );
  });

  it('is what the broker says itself, when it refuses', () => {
    expect(whyNotStarted(new BrokerError('resource-locked', 'another broker uses it'))).toBe('another broker uses it');
    expect(whyNotStarted(new Refusal('no'))).toBe('no');
  });

  it('is unknown for a fault of ours', () => {
    expect(whyNotStarted(new TypeError('x is undefined'))).toBeNull();
    expect(whyNotStarted('text')).toBeNull();
    expect(whyNotStarted(new CertificateError('listeners.a.tls.key: no'))).toBe('listeners.a.tls.key: no');
  });
});

describe('what a started broker says', () => {
  const running = {
    addresses: [
      { name: 'mqtt', protocol: 'mqtt', host: '0.0.0.0', port: 1883 },
      { name: 'http', protocol: 'http', host: '::', port: 8080 },
    ],
    dataDir: '/data',
    close: async () => undefined,
  };

  it('has addresses that can be opened', () => {
    const config = resolveConfig({ storage: { engine: 'embedded' } });
    expect(banner(running, config, '1.2.3')).toBe(`Sluice 1.2.3 is listening

  mqtt        0.0.0.0:1883
  http        [::]:8080
  websocket   ws://[::1]:8080/mqtt  ws://[::1]:8080/stomp  ws://[::1]:8080/ws
  demo page   http://[::1]:8080/demo
  data        /data
`);
  });

  it('says where TLS is spoken', () => {
    const tls = { certificate: 'own.crt', key: 'own.key', versionMin: 'TLSv1.2' } as const;
    const text = banner(running, resolveConfig({ listeners: { http: { port: 8080, tls } } }), '1.2.3');
    expect(text).toContain('  http        [::]:8080  TLS\n');
    expect(text).toContain('wss://[::1]:8080/mqtt');
    expect(text).toContain('https://[::1]:8080/demo');
  });

  it('does not offer a page where HTTP is not accepted, and says when nothing is kept', () => {
    const config = resolveConfig({
      listeners: { mqtt: { port: 1, accept: ['mqtt'] }, http: { port: 2, accept: ['stomp'] } },
      storage: { engine: 'memory' },
    });
    const text = banner(running, config, '1.2.3');
    expect(text).not.toContain('demo');
    expect(text).toContain('in memory, gone when this process ends');
  });

  it('is a line of JSON for a program', () => {
    expect(jsonLine(running)).not.toContain('\n');
    expect(JSON.parse(jsonLine(running)).listening).toHaveLength(2);
  });
});
