import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parsePasswordHash, verifyPassword } from '../../src/auth/password.ts';
import { configTable } from '../../src/config.ts';
import { executable, ROOT } from '../support/built.ts';

const MAIN = executable();
const directory = mkdtempSync(join(tmpdir(), 'sluice-cli-'));
afterAll(() => rmSync(directory, { recursive: true }));

function sluice(
  args: readonly string[],
  { input = '', env = {} }: { input?: string; env?: Record<string, string> } = {},
) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    cwd: directory,
    input,
    encoding: 'utf8',
    env: { PATH: process.env.PATH, ...env },
    timeout: 20_000,
  });
  return { status, stdout, stderr };
}

describe('the command line', () => {
  it('prints the version, which is that of the package', () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    expect(sluice(['version'])).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
    expect(sluice(['--version']).stdout).toBe(`${version}\n`);
  });

  it('shows what there is when nothing or something unknown is asked for', () => {
    expect(sluice([])).toMatchObject({ status: 1, stdout: '', stderr: expect.stringContaining('Commands:') });
    expect(sluice(['brew'])).toMatchObject({ status: 1, stderr: expect.stringContaining("unknown command 'brew'") });
    expect(sluice(['start', '--port', '1'])).toMatchObject({ status: 1, stderr: expect.stringContaining('--port') });
  });
});

describe('sluice start', () => {
  it('refuses a wrong configuration with a line for each problem and nothing else', () => {
    const refused = sluice(['start', '--mqtt', 'x', '--set', 'mqtt.maximumQos=7'], { env: { SLUICE_FOO: '1' } });
    expect(refused).toEqual({
      status: 1,
      stdout: '',
      stderr: [
        'SLUICE_FOO: is not an option; a dot is two underscores, such as in SLUICE_MQTT__MAXIMUM_QOS',
        'listeners.mqtt: "x" is not allowed; HOST:PORT, a port, off, or a section with host and port (--mqtt)',
        'mqtt.maximumQos: 7 is not allowed; a whole number from 0 to 2 (--set mqtt.maximumQos)',
        '',
      ].join('\n'),
    });
  });

  it('refuses a port that is taken with one line, on the real broker', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const args = ['start', '--log-level', 'error', '--mqtt', `127.0.0.1:${port}`, '--stomp', 'off', '--http', 'off'];
    const refused = sluice(args);
    other.close();
    expect(refused).toMatchObject({ status: 1, stdout: '' });
    expect(refused.stderr).toMatch(
      new RegExp(
        `^listener mqtt cannot listen on 127\\.0\\.0\\.1:${port}: .*EADDRINUSE.*; the option is listeners\\.mqtt\n$`,
      ),
    );
  });

  it('refuses to listen nowhere', () => {
    const refused = sluice(['start', '--mqtt', 'off', '--stomp', 'off', '--http', 'off']);
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringMatching(/^listeners: all are off, .*\n$/) });
  });

  it('wants a path and a value for --set', () => {
    expect(sluice(['start', '--set', 'mqtt.maximumQos'])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('Expected PATH=VALUE'),
    });
  });
});

describe('sluice config', () => {
  it('check says that a configuration is valid, and from which file', () => {
    const file = join(directory, 'good.yaml');
    writeFileSync(file, 'listeners: {stomp: off}\n');
    expect(sluice(['config', 'check', '--config', file])).toEqual({
      status: 0,
      stdout: 'The configuration (good.yaml) is valid: mqtt 127.0.0.1:1883, http 127.0.0.1:8080.\n',
      stderr: '',
    });
  });

  it('check says what is wrong, and where', () => {
    const file = join(directory, 'bad.yaml');
    writeFileSync(file, '\nlog: {level: loud}\n');
    expect(sluice(['config', 'check', '-c', file])).toEqual({
      status: 1,
      stdout: '',
      stderr: 'log.level: "loud" is not allowed; debug, info, warn, error or silent (bad.yaml:2)\n',
    });
  });

  it('check looks at the files of a listener with TLS', () => {
    const file = join(directory, 'safe.yaml');
    const tls = '{certificate: /nowhere/own.crt, key: /nowhere/own.key}';
    writeFileSync(file, `listeners: {safe: {port: 8883, tls: ${tls}}}\n`);
    expect(sluice(['config', 'check', '-c', file])).toEqual({
      status: 1,
      stdout: '',
      stderr: 'listeners.safe.tls.certificate: cannot use /nowhere/own.crt: there is no such file\n',
    });
  });

  it('check --print shows all of it with its origins, and no hash', () => {
    const hash = '$scrypt$ln=15,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';
    const args = ['config', 'check', '--print', '--http', ':0', '--set', `auth.users=[{name: ann, hash: "${hash}"}]`];
    const { status, stdout } = sluice(args, { env: { SLUICE_MQTT__MAXIMUM_QOS: '1' } });
    expect(status).toBe(0);
    expect(stdout).toContain('  maximumQos: 1 # SLUICE_MQTT__MAXIMUM_QOS\n');
    expect(stdout).toContain('    port: 0 # --http\n');
    expect(stdout).toContain('    - name: ann # --set auth.users\n');
    expect(stdout).toContain('  retainAvailable: true\n');
    expect(stdout).not.toContain('AAAA');
  });

  it('docs prints the table, or puts it into a file', () => {
    expect(sluice(['config', 'docs']).stdout).toBe(`${configTable()}\n`);
    const file = join(directory, 'page.md');
    writeFileSync(file, 'a\n<!-- options: generated by `sluice config docs` -->\n<!-- options: end -->\nb\n');
    expect(sluice(['config', 'docs', '--into', file]).status).toBe(0);
    expect(readFileSync(file, 'utf8')).toContain(`-->\n${configTable()}\n<!--`);
    writeFileSync(file, 'no marks');
    expect(sluice(['config', 'docs', '--into', file])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('has no place'),
    });
  });
});

describe('sluice user hash', () => {
  it('prints the hash of the password on standard input, whose line end is not part of it', () => {
    const { status, stdout, stderr } = sluice(['user', 'hash', '--cost', '14'], { input: 'correct horse\n' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const hash = parsePasswordHash(stdout.trimEnd());
    expect(hash?.costLog2).toBe(14);
    expect(hash !== null && verifyPassword(Buffer.from('correct horse'), hash)).toBe(true);
  });

  it('takes no password from the command line', () => {
    const { status, stdout, stderr } = sluice(['user', 'hash', 'geheim'], { input: 'x' });
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toContain('too many arguments');
  });

  it('refuses an empty or endless password, and a cost out of bounds', () => {
    expect(sluice(['user', 'hash'], { input: '\n' })).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('is empty'),
    });
    expect(sluice(['user', 'hash'], { input: 'x'.repeat(100_000) })).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('longer than 1024 bytes'),
    });
    expect(sluice(['user', 'hash', '--cost', '12'])).toMatchObject({
      status: 1,
      stderr: '--cost: 12 is not allowed; a whole number from 14 to 18\n',
    });
  });
});
