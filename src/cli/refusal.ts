// How a command ends that cannot do what it was asked: one clear line for each reason and exit code 1, no stack. Everything else is a fault of ours, exit
// code 70 (EX_SOFTWARE), and shows its stack.
import type { Config } from '../config.ts';
import { ConfigError } from '../config.ts';

export const EXIT_REFUSED = 1;
export const EXIT_FAULT = 70;

/** A refusal whose message says everything. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
}

interface SystemError extends Error {
  readonly code?: string;
  readonly syscall?: string;
  readonly address?: string;
  readonly port?: number;
  readonly path?: string;
  /** Name of the listener, where whoever listened said it. */
  readonly listener?: string;
}

const WHY_NOT_LISTEN: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there',
  EACCES: 'this user may not listen there (ports below 1024 need the right to)',
  EPERM: 'this user may not listen there',
  EADDRNOTAVAIL: 'this machine does not have that address',
  ENOTFOUND: 'that host name has no address',
  EAI_AGAIN: 'that host name cannot be looked up now',
};

const WHY_NOT_FILE: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  ENOTDIR: 'it is not a directory',
  EEXIST: 'it is not a directory',
};

function listenerOf(error: SystemError, config: Config): string | null {
  if (error.listener !== undefined) return error.listener;
  const listeners = Object.entries(config.listeners).filter(([, { enabled }]) => enabled);
  const same = listeners.filter(
    ([, { port, host }]) => port === error.port || (error.port === undefined && host !== ''),
  );
  return (same.find(([, { host }]) => host === error.address) ?? same[0])?.[0] ?? null;
}

/** What hindered the broker from starting, in one line; null when it is a fault of ours. */
export function whyNotStarted(error: unknown, config: Config): string | null {
  if (error instanceof Refusal || error instanceof ConfigError) return error.message;
  if (!(error instanceof Error)) return null;
  const { code = '', syscall = '', path } = error as SystemError;
  const isListening = syscall === 'listen' || syscall === 'bind' || syscall === 'getaddrinfo';
  const notListening = WHY_NOT_LISTEN[code];
  if (isListening && notListening !== undefined) {
    const name = listenerOf(error, config);
    const listener = name === null ? undefined : config.listeners[name];
    const where = listener === undefined ? 'the address' : `${listener.host}:${listener.port}`;
    return `listener ${name}: cannot listen on ${where}: ${notListening}; the option is listeners.${name}`;
  }
  const notFile = WHY_NOT_FILE[code];
  if (path !== undefined && notFile !== undefined) return `data.dir: cannot use ${path}: ${notFile}`;
  return error.name === 'BrokerError' ? error.message : null;
}
