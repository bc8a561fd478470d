// The README says what is true: its program runs as printed.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { createBroker } from '../src/index.ts';
import { compiled, ROOT } from './support/built.ts';

const readme = readFileSync(join(import.meta.dirname, '..', 'README.md'), 'utf8');

test('the embedding example runs as printed', async () => {
  const [, example] = /```ts\n(import \{ createBroker \}[\s\S]*?)```/.exec(readme) ?? [];
  expect(example).toBeDefined();
  const program = example!.replace("'sluice'", `'${pathToFileURL(compiled('src/index.ts')).href}'`);
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program]);
  const lines = stdout.trim().split('\n');
  expect(lines).toContain('plant/line1/temp 21.5');
  expect(lines.at(-1)).toMatch(/^MQTT on port \d+$/);
});

test('the STOMP example receives what an MQTT device publishes', async () => {
  const [, example] = /```js\n([\s\S]*?stompit[\s\S]*?)```/.exec(readme) ?? [];
  expect(example).toContain('port: 61613');
  const broker = await createBroker({ config: { storage: { engine: 'memory' }, listeners: { stomp: '127.0.0.1:0' } } });
  const [stomp] = await broker.listen();
  await broker.publish('plant/line1/temp', '21.5', { retain: true });
  const program = example!.replace('61613', String(stomp!.port));
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { cwd: ROOT, stdio: 'pipe' });
  try {
    child.stdout.setEncoding('utf8');
    const [line] = (await once(child.stdout, 'data')) as [string];
    expect(line).toBe('/topic/plant.line1.temp 21.5\n');
  } finally {
    child.kill();
    await broker.close();
  }
});

test('the commands it tells are there', () => {
  const { scripts } = JSON.parse(readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const told = [...readme.matchAll(/npm (?:run )?([a-z:]+)/g)]
    .map(([, name]) => name!)
    .filter((name) => name !== 'install');
  expect(told.length).toBeGreaterThan(3);
  for (const name of told) expect(Object.keys(scripts)).toContain(name);
});
