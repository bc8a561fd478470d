// What the tests need beyond npm's packages: mosquitto with its clients, paho, stomp.py, Chromium, and a stand-in for uWebSockets.js. Installs what it can, writes down
// what is there and why the rest is not (node_modules/.sluice-test/report.json, read by test/support/requirements.ts), and in CI fails when
// anything is missing. Plain JavaScript on Node alone. Costs a few milliseconds when everything is there.
import { spawnSync } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { npmCommand } from '../src/cli/ensure/project.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const FOLDER = join(ROOT, 'node_modules', '.sluice-test');
const REPORT = join(FOLDER, 'report.json');
// uWebSockets.js itself is not on npm. This fork of it is, with the same interface and with binaries up to Node 20.
const UWS = 'uWebSockets.js@npm:@rjweb/uws@1.5.0';
const UWS_FOLDER = join(FOLDER, 'node_modules', 'uWebSockets.js');
const UWS_MODULE = join(UWS_FOLDER, 'ESM_wrapper.mjs');
const INSTALL_TIMEOUT_MS = 8 * 60 * 1000;

/** requirement → the programs that satisfy it (any one of them), and its Debian package. */
const PROGRAMS = {
  mosquitto: { names: ['mosquitto'], debian: 'mosquitto' },
  mosquittoPub: { names: ['mosquitto_pub'], debian: 'mosquitto-clients' },
  mosquittoSub: { names: ['mosquitto_sub'], debian: 'mosquitto-clients' },
  mosquittoRr: { names: ['mosquitto_rr'], debian: 'mosquitto-clients' },
  chromium: { names: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'], debian: 'chromium' },
};

const say = (line) => process.stderr.write(`${line}\n`);

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false; // Not there, or not ours to run: both mean no.
  }
}

function searchedFolders() {
  // Debian keeps daemons in /usr/sbin, which is not on everybody's PATH; where there is no PATH to speak of, nothing outside of it is used either.
  const folders = (process.env.PATH ?? '').split(delimiter);
  if (folders.includes('/usr/bin')) folders.push('/usr/sbin');
  return folders;
}

function findProgram(names) {
  for (const folder of searchedFolders())
    for (const name of names) if (isProgram(join(folder, name))) return join(folder, name);
  return null;
}

function run(command, args, options = {}) {
  const done = spawnSync(command, args, { cwd: ROOT, encoding: 'utf8', timeout: INSTALL_TIMEOUT_MS, ...options });
  const said = `${done.stdout ?? ''}${done.stderr ?? ''}`.trim();
  return { ok: done.status === 0, said: done.error?.message ?? said.split('\n').slice(-3).join(' ') };
}

/** Keeps Debian from starting the services it installs: a mosquitto on port 1883 would be in the broker's way. */
function withoutServices(work) {
  const policy = '/usr/sbin/policy-rc.d';
  if (existsSync(policy)) return work();
  writeFileSync(policy, '#!/bin/sh\nexit 101\n');
  chmodSync(policy, 0o755);
  try {
    return work();
  } finally {
    rmSync(policy, { force: true });
  }
}

/** Installs Debian packages; returns why not, or '' when done. */
function installDebian(packages) {
  const apt = findProgram(['apt-get']);
  if (apt === null) return 'there is no apt-get to install it with';
  if (process.getuid?.() !== 0) return `only root may install it (apt-get install ${packages.join(' ')})`;
  say(`Installing for the tests: ${packages.join(', ')} …`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  return withoutServices(() => {
    const update = run(apt, ['update', '-q'], { env });
    const install = run(apt, ['install', '-y', '-q', '--no-install-recommends', ...packages], { env });
    if (install.ok) return '';
    return `apt-get could not install it: ${install.said}${update.ok ? '' : ` (update: ${update.said})`}`;
  });
}

function programs() {
  const missing = new Set();
  for (const { names, debian } of Object.values(PROGRAMS)) if (findProgram(names) === null) missing.add(debian);
  const why = missing.size === 0 ? '' : installDebian([...missing]);
  const found = {};
  for (const [requirement, { names }] of Object.entries(PROGRAMS)) {
    const path = findProgram(names);
    const reason = path === null ? `${names[0]} is not on the PATH, and ${why || 'its package did not bring it'}` : '';
    found[requirement] = { available: path !== null, path: path ?? '', reason };
  }
  return found;
}

/** A Python that has a module. Debian's packages are for Debian's own Python, which need not be the first on the PATH. */
function pythonWith(module) {
  const pythons = [findProgram(['python3']), '/usr/bin/python3'].filter((path) => path !== null && isProgram(path));
  const reachable = pythons.filter((path) => path !== '/usr/bin/python3' || searchedFolders().includes('/usr/bin'));
  return reachable.find((path) => run(path, ['-c', `import ${module}`]).ok) ?? null;
}

/** requirement → the module of Python, and its Debian package. */
const MODULES = {
  paho: { module: 'paho.mqtt.client', debian: 'python3-paho-mqtt' },
  stompPy: { module: 'stomp', debian: 'python3-stomp' },
};

function pythonModule({ module, debian }) {
  let path = pythonWith(module);
  const why = path === null ? installDebian(['python3', debian]) : '';
  path ??= pythonWith(module);
  const reason = path === null ? `no python3 has ${module}, and ${why || 'its package did not bring it'}` : '';
  return { available: path !== null, path: path ?? '', reason };
}

/** Loads the stand-in in a process of its own: a binary that does not fit may end the process. */
function loads() {
  const source = `await import(${JSON.stringify(pathToFileURL(UWS_MODULE).href)})`;
  return run(process.execPath, ['--input-type=module', '-e', source]);
}

function removeForeignBinaries() {
  const ours = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`;
  for (const file of readdirSync(UWS_FOLDER))
    if (file.endsWith('.node') && file !== ours) rmSync(join(UWS_FOLDER, file));
}

function uws() {
  const no = (reason) => ({ available: false, path: '', reason });
  const node = Number(process.versions.node.split('.')[0]);
  if (node > 20) return no(`the stand-in for uWebSockets.js has no binary for Node ${node}, only up to 20`);
  if (!existsSync(UWS_MODULE)) {
    const [command, ...args] = npmCommand();
    args.push(
      'install',
      '--prefix',
      FOLDER,
      '--no-save',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
      UWS,
    );
    const install = run(command, args);
    if (!install.ok) return no(`npm could not install ${UWS}: ${install.said}`);
    removeForeignBinaries();
  }
  const loading = loads();
  return loading.ok ? { available: true, path: UWS_MODULE, reason: '' } : no(`it does not load: ${loading.said}`);
}

function main() {
  mkdirSync(FOLDER, { recursive: true });
  const now = { node: process.version, ...programs() };
  const before = existsSync(REPORT) ? JSON.parse(readFileSync(REPORT, 'utf8')) : {};
  // Loading one takes a process; what loaded once with this Node, or this Python, loads again.
  const known = before.node === process.version && before.uws?.available === true && existsSync(before.uws.path);
  now.uws = known ? before.uws : uws();
  for (const [requirement, wanted] of Object.entries(MODULES)) {
    const there = before[requirement];
    now[requirement] = there?.available === true && isProgram(there.path) ? there : pythonModule(wanted);
  }
  writeFileSync(REPORT, `${JSON.stringify(now, null, 2)}\n`);

  const missing = Object.entries(now).filter(([, { available }]) => available === false);
  for (const [requirement, { reason }] of missing) say(`Tests that need ${requirement} are skipped: ${reason}.`);
  if (missing.length > 0 && process.env.CI === 'true') {
    say('In CI nothing is skipped, so this is a failure.');
    process.exitCode = 1;
  }
}

main();
