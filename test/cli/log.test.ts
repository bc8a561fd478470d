// The tools for logs as an operator calls them: on real files, in processes of their own, beside a log that is being written.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { NodeDisk } from '../../src/io/disk.ts';
import { SystemRandom } from '../../src/io/random.ts';
import { Durability } from '../../src/storage/commit-log.ts';
import { EmbeddedStorage } from '../../src/storage/embedded/storage.ts';
import { threadCrew } from '../../src/storage/embedded/thread-crew.ts';
import { CODECS, collect, RecordingListener, targets, textRun } from '../storage/harness.ts';
import { executable } from '../support/built.ts';

const MAIN = executable();
const root = mkdtempSync(join(tmpdir(), 'sluice-log-'));
afterAll(() => rmSync(root, { recursive: true }));

interface Done {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command; this process goes on meanwhile. */
async function sluice(...args: string[]): Promise<Done> {
  const child = spawn(process.execPath, [MAIN, ...args], { env: { PATH: process.env.PATH } });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => {
    out += String(chunk);
  });
  child.stderr.on('data', (chunk) => {
    err += String(chunk);
  });
  const [code] = (await once(child, 'close')) as [number];
  return { code, out, err };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function open(directory: string): Promise<EmbeddedStorage> {
  const storage = new EmbeddedStorage({
    directory,
    disk: new NodeDisk(),
    random: new SystemRandom(),
    crew: threadCrew(),
    segmentBytes: 256 * 1024,
    checkpointBytes: 512 * 1024,
    ballastBytes: 0,
    freeBytesMin: 0,
    freeShareMin: 0,
  });
  await storage.open(CODECS, new RecordingListener());
  return storage;
}

async function durable(storage: EmbeddedStorage): Promise<void> {
  storage.endUnit();
  const { position } = storage;
  while (storage.durablePosition < position) await turn();
}

function body(sequence: number): string {
  return `${sequence}:`.padEnd(300 + (sequence % 700), 'abcdef');
}

/** Messages 1 to `count` in a queue of a log in a new directory, and some state. */
async function filled(name: string, count: number): Promise<{ directory: string; storage: EmbeddedStorage }> {
  const directory = join(root, name);
  const storage = await open(directory);
  const queue = storage.openQueue('/ orders', Durability.Fsync);
  for (let sequence = 1; sequence <= count; sequence++) {
    storage.append(textRun(body(sequence)), targets([queue]));
    if (sequence % 20 === 0) await durable(storage);
  }
  storage.state.put('session', 'one', Buffer.from('12345'));
  await durable(storage);
  return { directory, storage };
}

async function texts(storage: EmbeddedStorage): Promise<Map<number, string>> {
  const sink = collect(storage.openQueue('/ orders', Durability.Fsync));
  while (!sink.ended) await turn();
  return new Map(sink.messages.map(({ sequence, text }) => [sequence, text]));
}

function damage(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes.fill(0x77, at, at + 64);
  writeFileSync(file, bytes);
}

describe('sluice log', () => {
  it('inspects and verifies a log that is whole', async () => {
    const { directory, storage } = await filled('whole', 1000);
    await storage.close();
    const inspected = await sluice('log', 'inspect', directory);
    expect(inspected).toMatchObject({ code: 0, err: '' });
    expect(inspected.out).toContain('Queues: 1, with 1000 messages of');
    expect(inspected.out).toMatch(/\/ orders +1000 +576\.0 KiB +1 +1000 +fsync +0\n/);
    expect(inspected.out).toMatch(/session +1 +8 B\n/);
    expect(inspected.out).toMatch(/\d{10}\.segment +closed +\S+ KiB +\d+ +\d+ +100\.0 %\n/);
    expect(inspected.out).toMatch(/Checkpoint \d{10}\.checkpoint, .* in 2 files/);
    expect(inspected.out).toContain('stopped in order');
    expect(inspected.out).toContain('No damage.');
    const json = JSON.parse((await sluice('log', 'inspect', '--json', directory)).out);
    expect(json.queues).toEqual([
      expect.objectContaining({ name: '/ orders', ready: 1000, first: 1, last: 1000, lost: 0 }),
    ]);
    const verified = await sluice('log', 'verify', directory);
    expect(verified).toMatchObject({ code: 0, err: '' });
    expect(verified.out).toMatch(/\d+ frames in \d+ segments, 1000 messages in 1 queues\.\nNo damage\.\n/);
    expect(await sluice('log', 'repair', directory)).toEqual({ code: 0, out: 'No damage.\n', err: '' });
  });

  it('verifies and repairs a damaged one', { timeout: 60_000 }, async () => {
    const { directory, storage } = await filled('damaged', 1000);
    await storage.close();
    // Where frames begin depends on how fast the disk was: the middle of a message it is.
    const message = body(500);
    const hit = readdirSync(directory)
      .filter((name) => name.endsWith('.segment'))
      .map((name) => ({ name, offset: readFileSync(join(directory, name)).indexOf(message) + 100 }))
      .find(({ offset }) => offset >= 100)!;
    damage(join(directory, hit.name), hit.offset);
    const verified = await sluice('log', 'verify', directory);
    expect(verified).toMatchObject({ code: 2, err: '' });
    expect(verified.out).toMatch(/DAMAGED in 1 place; \d+ messages/);
    expect(verified.out).toMatch(new RegExp(`${hit.name}, position \\d+, \\d+ bytes: no valid frame`));
    const { damages } = JSON.parse((await sluice('log', 'verify', '--json', directory)).out);
    const at = Number.parseInt(hit.name, 10) * 256 * 1024 + hit.offset;
    expect(damages[0].position).toBeLessThanOrEqual(at);
    expect(damages[0].position + damages[0].bytes).toBeGreaterThan(at);
    const repaired = await sluice('log', 'repair', directory);
    expect(repaired).toMatchObject({ code: 0, err: '' });
    expect(repaired.out).toContain('The log has no damage any more.');
    const aside = readdirSync(directory).find((name) => /^damaged-\d{8}-\d{6}$/.test(name))!;
    expect(readdirSync(join(directory, aside))).toEqual([hit.name]);
    expect((await sluice('log', 'verify', directory)).code).toBe(0);
    const again = await open(directory);
    const left = await texts(again);
    await again.close();
    // One frame of 20 messages was hit.
    expect(left.size).toBe(980);
    for (const [sequence, text] of left) expect(text).toBe(body(sequence));
  });

  it('refuses what a broker has open, by its process id, and looks at it all the same when told to', async () => {
    const { directory, storage } = await filled('open', 200);
    for (const command of ['inspect', 'verify', 'repair']) {
      const refused = await sluice('log', command, directory);
      expect(refused).toMatchObject({ code: 1, out: '' });
      expect(refused.err).toMatch(
        new RegExp(`^the data directory is in use by the Sluice process ${process.pid} .*\n$`),
      );
    }
    const found = await sluice('log', 'inspect', '--read-only', directory);
    expect(found).toMatchObject({ code: 0, err: '' });
    expect(found.out).toContain('with 200 messages');
    expect(found.out).toContain('No damage.');
    const second = await sluice('start', '--data', directory, '--mqtt', '127.0.0.1:0', '--log-level', 'error');
    expect(second).toMatchObject({ code: 1, out: '' });
    expect(second.err).toContain(`data.dir: the data directory is in use by the Sluice process ${process.pid} `);
    await storage.close();
    // The lock of a process that has ended stands in nobody's way.
    const dead = spawn(process.execPath, ['-e', '']);
    await once(dead, 'exit');

    writeFileSync(join(directory, 'lock'), JSON.stringify({ pid: dead.pid, started: '1', host: hostname() }));
    expect((await sluice('log', 'verify', directory)).code).toBe(0);
    expect(existsSync(join(directory, 'lock'))).toBe(false);
  });

  it('refuses what is no data directory', async () => {
    const empty = join(root, 'empty');
    mkdirSync(empty);
    for (const command of ['inspect', 'verify', 'repair']) {
      expect(await sluice('log', command, empty)).toEqual({
        code: 1,
        out: '',
        err: `${empty} holds no log: name the data directory of a broker (data.dir)\n`,
      });
      expect((await sluice('log', command, join(root, 'nowhere'))).err).toMatch(/^ENOENT: .*nowhere'\n$/);
    }
  });
});

describe('sluice backup and restore', () => {
  it('copy the log of a running broker under load: everything confirmed before is in it, nothing half', {
    timeout: 120_000,
  }, async () => {
    const directory = join(root, 'busy');
    const storage = await open(directory);
    const queue = storage.openQueue('/ orders', Durability.Fsync);
    let appended = 0;
    let running = true;
    let segmentsSeen = 0;
    const load = (async () => {
      while (running) {
        for (let i = 0; i < 20; i++) storage.append(textRun(body(++appended)), targets([queue]));
        // A backlog of 500 messages: segments die, are used again and removed, checkpoints follow each other.
        while (queue.count > 500) queue.settle(queue.firstSequence, 1);
        storage.state.put('counter', 'appended', Buffer.from(String(appended)));
        await durable(storage);
        segmentsSeen = storage.figures.checkpoints;
      }
    })();
    while (appended < 2000) await turn();
    for (let round = 0; round < 3; round++) {
      const confirmed = appended - 20;
      const { firstSequence } = queue;
      const target = join(root, `copy${round}`);
      const checkpoints = segmentsSeen;
      const done = await sluice('backup', directory, target);
      expect(done).toMatchObject({ code: 0, err: '' });
      expect(done.out).toMatch(/^Copied and verified: \d+ messages in 1 queues, 1 entries of state, /);
      // Something has to have changed while it was copied.
      expect(appended).toBeGreaterThan(confirmed + 100);
      expect(segmentsSeen).toBeGreaterThan(checkpoints);
      const back = join(root, `back${round}`);
      expect(await sluice('restore', target, back)).toMatchObject({ code: 0, err: '' });
      const restored = await open(back);
      const got = await texts(restored);
      const first = Math.min(...got.keys());
      const last = Math.max(...got.keys());
      expect(first).toBeGreaterThanOrEqual(firstSequence);
      expect(last).toBeGreaterThanOrEqual(confirmed);
      expect(got.size).toBe(last - first + 1);
      for (const [sequence, text] of got) expect(text).toBe(body(sequence));
      // Messages and state are of the same unit.
      expect([...restored.state.load('counter')].map(([, value]) => Buffer.from(value).toString())).toEqual([
        String(last),
      ]);
      await restored.close();
    }
    running = false;
    await load;
    // While it turned over as fast as it could, a look at it may have been given up.
    expect((await sluice('log', 'inspect', '--read-only', directory)).code).toBe(0);
    await storage.close();
  });

  it('refuse a target that is not empty, a source that is no backup, and a damaged backup', async () => {
    const { directory, storage } = await filled('source', 300);
    await storage.close();
    const copy = join(root, 'copy');
    expect((await sluice('backup', directory, copy)).code).toBe(0);
    expect(await sluice('backup', directory, copy)).toMatchObject({
      code: 1,
      err: expect.stringContaining('not empty'),
    });
    expect(await sluice('restore', copy, directory)).toMatchObject({
      code: 1,
      err: expect.stringContaining('not empty'),
    });
    const target = join(root, 'target');
    expect(await sluice('restore', directory, target)).toMatchObject({
      code: 1,
      err: `${directory} is no backup, or one that was not finished: it has no backup.json\n`,
    });
    const bad = join(root, 'bad');
    cpSync(copy, bad, { recursive: true });
    const segment = readdirSync(bad).find((name) => name.endsWith('.segment'))!;
    damage(join(bad, segment), 10_000);
    const refused = await sluice('restore', bad, target);
    expect(refused).toMatchObject({ code: 1, out: '' });
    expect(refused.err).toMatch(
      new RegExp(`${segment}, position \\d+.*no valid frame[\\s\\S]*--damaged restores it all the same`),
    );
    expect(existsSync(target)).toBe(false);
    expect((await sluice('restore', '--damaged', bad, target)).code).toBe(0);
    expect((await sluice('log', 'verify', target)).code).toBe(2);
  });
});
