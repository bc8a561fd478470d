// How a command ends that cannot do what it was asked: one clear line for each reason and exit code 1, no stack. Everything else is a fault of ours, exit
// code 70 (EX_SOFTWARE), and shows its stack.
import { ConfigError } from '../config.ts';
import { BrokerError } from '../core/errors.ts';
import { DiskLockedError } from '../io/disk.ts';
import { ListenError } from '../io/tcp.ts';
import { CertificateError } from '../server/certificate.ts';
import { FormatError } from '../storage/embedded/recovery.ts';

export const EXIT_REFUSED = 1;
export const EXIT_FAULT = 70;

/** A refusal whose message says everything. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
}

const WHY_NOT_FILE: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  ENOTDIR: 'it is not a directory',
  EEXIST: 'it is not a directory',
};

/** What hindered the broker from starting, in one line; null when it is a fault of ours. */
export function whyNotStarted(error: unknown): string | null {
  if (error instanceof Refusal || error instanceof ConfigError || error instanceof BrokerError) return error.message;
  if (error instanceof CertificateError) return error.message;
  if (error instanceof DiskLockedError || error instanceof FormatError) return `data.dir: ${error.message}`;
  if (error instanceof ListenError) return `${error.message}; the option is listeners.${error.listener}`;
  if (!(error instanceof Error)) return null;
  const { code = '', path } = error as NodeJS.ErrnoException;
  const notFile = WHY_NOT_FILE[code];
  return path === undefined || notFile === undefined ? null : `data.dir: cannot use ${path}: ${notFile}`;
}
