// What a started broker says on standard output: for a reader, where it listens and where its data is; for a program, one line of JSON.
import type { Config } from '../config.ts';
import { hostPort } from '../io/tcp.ts';
import type { RunningBroker } from '../server/start.ts';

type Address = RunningBroker['addresses'][number];

/** An address a browser on this machine can open: one that means "any" is replaced by loopback. */
function openable({ host, port }: Address): string {
  const local = host === '0.0.0.0' || host === '' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return hostPort(local, port);
}

export function jsonLine({ addresses, dataDir }: RunningBroker): string {
  const listening = addresses.map(({ name, host, port }) => ({ name, host, port }));
  return JSON.stringify({ listening, dataDir, pid: process.pid });
}

/** Some lines, to be read at a glance. */
export function banner({ addresses, dataDir }: RunningBroker, config: Config, version: string): string {
  const secure = (name: string): boolean => config.listeners[name]?.tls !== undefined;
  const rows: [string, string][] = addresses.map(({ name, host, port }) => [
    name,
    `${hostPort(host, port)}${secure(name) ? '  TLS' : ''}`,
  ]);
  const web = addresses.filter(({ name }) => config.listeners[name]?.accept.includes('http') === true);
  const page = web.find(({ name }) => name === 'http') ?? web[0];
  if (page !== undefined) {
    const s = secure(page.name) ? 's' : '';
    rows.push(['websocket', config.websocket.paths.map((path) => `ws${s}://${openable(page)}${path}`).join('  ')]);
    rows.push(['demo page', `http${s}://${openable(page)}/demo`]);
  }
  const inMemory = config.storage.engine === 'memory';
  rows.push(['data', inMemory ? 'in memory, gone when this process ends (storage.engine)' : dataDir]);

  const width = Math.max(...rows.map(([label]) => label.length));
  const lines = rows.map(([label, text]) => `  ${label.padEnd(width)}   ${text}`);
  return [`Sluice ${version} is listening`, '', ...lines, ''].join('\n');
}
