// The certificate of a listener: read from its files, judged before anything listens, and read again when they have changed, so that a renewal needs no restart. Says in
// time when it is about to expire. Relies on nothing of TLS but its names of things.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Clock, Timer } from '../io/clock.ts';
import type { Logger } from '../io/logger.ts';
import type { TlsIdentity } from '../io/tls.ts';

/** As configured, under `listeners.<name>.tls`. */
export interface CertificatePaths {
  readonly certificate: string;
  readonly key: string;
  readonly clientCa: string | null;
}

/** What is read of files. Both throw the system's error. */
export interface CertificateFiles {
  read(path: string): Buffer;
  /** Changes when the file does. */
  stamp(path: string): string;
}

/** A file that cannot be used; the message names the option, the file and what is wrong with it. */
export class CertificateError extends Error {
  override readonly name = 'CertificateError';
}

/** How often the files are looked at. */
const LOOK_MS = 30_000;
const DAY_MS = 86_400_000;
/** Said once when so many days are left, or fewer. */
const WARNING_DAYS = [30, 7, 1];
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

type Option = keyof CertificatePaths;

const WHY_NOT_READ: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
};

export class Certificate {
  private readonly listener: string;
  private readonly paths: CertificatePaths;
  private readonly files: CertificateFiles;
  private readonly clock: Clock;
  private readonly logger: Logger;
  private stamp: string;
  private expiresAtMs = 0;
  private warnedDays = Number.POSITIVE_INFINITY;
  private timer: Timer | null = null;
  identity: TlsIdentity;

  /** Throws a CertificateError. */
  constructor(listener: string, paths: CertificatePaths, files: CertificateFiles, clock: Clock, logger: Logger) {
    this.listener = listener;
    this.paths = paths;
    this.files = files;
    this.clock = clock;
    this.logger = logger;
    this.stamp = this.stampNow();
    this.identity = this.load();
    this.warn();
  }

  /** Looks at the files now and then until close(). onRenewed is told of a new identity; when it throws, the one before stays in use. */
  watch(onRenewed: (identity: TlsIdentity) => void): void {
    this.timer = this.clock.timer(LOOK_MS, {
      onTimer: () => {
        if (this.timer === null) return;
        this.look(onRenewed);
        this.watch(onRenewed);
      },
    });
  }

  close(): void {
    this.timer?.cancel();
    this.timer = null;
  }

  private look(onRenewed: (identity: TlsIdentity) => void): void {
    const stamp = this.stampNow();
    if (stamp !== this.stamp) {
      // Also when it cannot be used: it is said once, not twice a minute.
      this.stamp = stamp;
      this.renew(onRenewed);
    }
    this.warn();
  }

  private renew(onRenewed: (identity: TlsIdentity) => void): void {
    const { listener } = this;
    const { expiresAtMs } = this;
    try {
      const identity = this.load();
      onRenewed(identity);
      this.identity = identity;
      this.warnedDays = Number.POSITIVE_INFINITY;
      const expires = new Date(this.expiresAtMs).toISOString();
      this.logger.info({ listener, expires }, 'certificate renewed: new connections get it');
    } catch (error) {
      this.expiresAtMs = expiresAtMs;
      this.logger.error(
        { listener, error: error instanceof Error ? error.message : String(error) },
        'the changed certificate cannot be used; the one before stays in use',
      );
    }
  }

  private warn(): void {
    const { listener } = this;
    const leftMs = this.expiresAtMs - this.clock.realtime();
    const expires = new Date(this.expiresAtMs).toISOString();
    const days = Math.max(0, Math.ceil(leftMs / DAY_MS));
    const due = leftMs <= 0 ? 0 : (WARNING_DAYS.findLast((warning) => days <= warning) ?? Number.POSITIVE_INFINITY);
    if (due >= this.warnedDays) return;
    this.warnedDays = due;
    const setting = `listeners.${listener}.tls.certificate`;
    if (due === 0) this.logger.error({ listener, expires, setting }, 'the certificate has expired: clients refuse it');
    else this.logger.warn({ listener, expires, days, setting }, 'the certificate expires soon');
  }

  private stampNow(): string {
    return this.options()
      .map((option) => {
        try {
          return this.files.stamp(this.paths[option]!);
        } catch {
          // While it is being replaced, or for good: reading it will tell.
          return '';
        }
      })
      .join(' ');
  }

  private options(): Option[] {
    return this.paths.clientCa === null ? ['certificate', 'key'] : ['certificate', 'key', 'clientCa'];
  }

  private load(): TlsIdentity {
    const certificate = this.read('certificate');
    const key = this.read('key');
    const clientAuthorities = this.paths.clientCa === null ? null : this.read('clientCa');
    const [own] = this.parse('certificate', certificate);
    if (!own!.checkPrivateKey(this.parseKey(key))) throw this.error('key', 'it is not the key of the certificate');
    if (clientAuthorities !== null) {
      for (const authority of this.parse('clientCa', clientAuthorities)) {
        if (!authority.ca) throw this.error('clientCa', `${authority.subject} is no authority`);
      }
    }
    this.expiresAtMs = Date.parse(own!.validTo);
    return { certificate, key, clientAuthorities };
  }

  private read(option: Option): Buffer {
    try {
      return this.files.read(this.paths[option]!);
    } catch (error) {
      const { code = '', message } = error as NodeJS.ErrnoException;
      throw this.error(option, WHY_NOT_READ[code] ?? message);
    }
  }

  /** At least one. */
  private parse(option: Option, bytes: Buffer): X509Certificate[] {
    const blocks = bytes.toString('latin1').match(PEM_CERTIFICATE);
    if (blocks === null) throw this.error(option, 'there is no PEM certificate in it');
    try {
      return blocks.map((block) => new X509Certificate(block));
    } catch {
      throw this.error(option, 'a certificate in it is damaged');
    }
  }

  private parseKey(bytes: Buffer) {
    try {
      return createPrivateKey(bytes);
    } catch (error) {
      const locked = (error as NodeJS.ErrnoException).code === 'ERR_MISSING_PASSPHRASE';
      throw this.error(
        'key',
        locked ? 'it has a passphrase; a key without one is needed' : 'there is no PEM key in it',
      );
    }
  }

  private error(option: Option, why: string): CertificateError {
    return new CertificateError(`listeners.${this.listener}.tls.${option}: cannot use ${this.paths[option]}: ${why}`);
  }
}
