// The certificate of a listener: what is refused, what is renewed, and what the log says before it is too late.
import { X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { KeptLogger } from '../../src/io/logger.ts';
import type { TlsIdentity } from '../../src/io/tls.ts';
import { Certificate, CertificateError } from '../../src/server/certificate.ts';
import { ManualClock } from '../io/manual-clock.ts';
import { Authority, type Issued } from '../support/certificates.ts';

const PATHS = { certificate: '/pem/own.crt', key: '/pem/own.key', clientCa: null } as const;
const WITH_CA = { ...PATHS, clientCa: '/pem/ca.crt' };
const DAY_MS = 86_400_000;
/** Longer than the files go without being looked at. */
const A_MINUTE_MS = 60_000;

let authority: Authority;
let own: Issued;
let other: Issued;
beforeAll(async () => {
  authority = await Authority.create();
  own = await authority.issue('broker');
  other = await authority.issue('other');
});

class World {
  readonly files = new Map<string, string>();
  readonly logger = new KeptLogger();
  readonly clock: ManualClock & { offsetMs: number };
  private version = 0;

  constructor(nowMs = Date.now()) {
    class DatedClock extends ManualClock {
      offsetMs = nowMs;
      override realtime(): number {
        return this.offsetMs + this.now();
      }
    }
    this.clock = new DatedClock();
  }

  put({ certificate, key }: Issued): this {
    this.files.set(PATHS.certificate, certificate).set(PATHS.key, key);
    this.version++;
    return this;
  }

  with(path: string, content: string): this {
    this.files.set(path, content);
    this.version++;
    return this;
  }

  open(paths: typeof PATHS | typeof WITH_CA = PATHS): Certificate {
    const read = (path: string): Buffer => {
      const content = this.files.get(path);
      if (content === undefined) throw Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' });
      return Buffer.from(content);
    };
    const stamp = (path: string): string => `${read(path).length} ${this.version}`;
    return new Certificate('mqtts', paths, { read, stamp }, this.clock, this.logger);
  }

  /** Level and message of what was logged. */
  get said(): string[] {
    return this.logger.lines.map(({ level, message }) => `${level}: ${message}`);
  }
}

const serialOf = ({ certificate }: TlsIdentity): string => new X509Certificate(certificate).serialNumber;

describe('a certificate', () => {
  it('is what its files say', () => {
    const { identity } = new World().put(own).open();
    expect(identity.certificate.toString()).toBe(own.certificate);
    expect(identity.key.toString()).toBe(own.key);
    expect(identity.clientAuthorities).toBe(null);
  });

  it('is refused with the option, the file and the reason', () => {
    const cases: [World, string, (typeof PATHS | typeof WITH_CA)?][] = [
      [new World(), 'listeners.mqtts.tls.certificate: cannot use /pem/own.crt: there is no such file'],
      [
        new World().put(own).with(PATHS.certificate, 'nothing'),
        'listeners.mqtts.tls.certificate: cannot use /pem/own.crt: there is no PEM certificate in it',
      ],
      [
        new World().put(own).with(PATHS.certificate, own.certificate.replace(/^M.{20}/m, 'M'.repeat(21))),
        'listeners.mqtts.tls.certificate: cannot use /pem/own.crt: a certificate in it is damaged',
      ],
      [
        new World().put(own).with(PATHS.key, own.certificate),
        'listeners.mqtts.tls.key: cannot use /pem/own.key: there is no PEM key in it',
      ],
      [
        new World().put(own).with(PATHS.key, other.key),
        'listeners.mqtts.tls.key: cannot use /pem/own.key: it is not the key of the certificate',
      ],
      [new World().put(own), 'listeners.mqtts.tls.clientCa: cannot use /pem/ca.crt: there is no such file', WITH_CA],
      [
        new World().put(own).with(WITH_CA.clientCa, other.certificate),
        'listeners.mqtts.tls.clientCa: cannot use /pem/ca.crt: CN=other is no authority',
        WITH_CA,
      ],
    ];
    for (const [world, message, paths] of cases) {
      expect(() => world.open(paths), message).toThrow(new CertificateError(message));
      expect(world.clock.timerCount).toBe(0);
    }
  });

  it('is renewed when its files change, and only then', () => {
    const world = new World().put(own);
    const certificate = world.open();
    const renewed: string[] = [];
    certificate.watch((identity) => renewed.push(serialOf(identity)));
    world.clock.advance(A_MINUTE_MS);
    expect(renewed).toEqual([]);
    world.put(other);
    world.clock.advance(A_MINUTE_MS);
    world.clock.advance(A_MINUTE_MS);
    expect(renewed).toEqual([new X509Certificate(other.certificate).serialNumber]);
    expect(serialOf(certificate.identity)).toBe(renewed[0]);
    expect(world.said).toEqual(['info: certificate renewed: new connections get it']);
    certificate.close();
    expect(world.clock.timerCount).toBe(0);
  });

  it('stays in use when what comes instead cannot be used, which is said once; what comes after that is taken', () => {
    const world = new World().put(own);
    const certificate = world.open();
    const before = certificate.identity;
    const renewed: TlsIdentity[] = [];
    certificate.watch((identity) => renewed.push(identity));
    // The certificate is there and its key not yet, as while they are being copied.
    world.with(PATHS.certificate, other.certificate);
    world.clock.advance(A_MINUTE_MS);
    world.clock.advance(A_MINUTE_MS);
    expect(certificate.identity).toBe(before);
    expect(renewed).toEqual([]);
    expect(world.said).toEqual(['error: the changed certificate cannot be used; the one before stays in use']);
    expect(world.logger.lines[0]?.fields.error).toContain('it is not the key of the certificate');
    world.with(PATHS.key, other.key);
    world.clock.advance(A_MINUTE_MS);
    expect(renewed.length).toBe(1);
  });

  it('stays in use also when whoever is told cannot use it, or when the files are gone', () => {
    const world = new World().put(own);
    const certificate = world.open();
    const before = certificate.identity;
    certificate.watch(() => {
      throw new Error('ee key too small');
    });
    world.put(other);
    world.clock.advance(A_MINUTE_MS);
    expect(certificate.identity).toBe(before);
    world.files.clear();
    world.clock.advance(A_MINUTE_MS);
    expect(certificate.identity).toBe(before);
    expect(world.logger.lines.map(({ fields }) => fields.error)).toEqual([
      'ee key too small',
      'listeners.mqtts.tls.certificate: cannot use /pem/own.crt: there is no such file',
    ]);
  });

  it('is warned of before it expires, once for each step, and again after it was renewed', async () => {
    const notAfter = new Date(Date.now() + 31.5 * DAY_MS);
    const world = new World().put(await authority.issue('short', { notAfter }));
    const certificate = world.open();
    certificate.watch(() => undefined);
    const daysLater = (days: number): void => {
      world.clock.offsetMs += days * DAY_MS;
      world.clock.advance(A_MINUTE_MS);
    };
    expect(world.said).toEqual([]);
    for (let day = 0; day < 33; day++) daysLater(1);
    expect(world.logger.lines.map(({ level, fields }) => [level, fields.days])).toEqual([
      ['warn', 30],
      ['warn', 7],
      ['warn', 1],
      ['error', undefined],
    ]);
    world.put(own);
    world.clock.advance(A_MINUTE_MS);
    expect(world.said.at(-1)).toBe('info: certificate renewed: new connections get it');
    certificate.close();
  });

  it('that has expired already is said to have', async () => {
    const expired = await authority.issue('late', { notAfter: new Date(Date.now() - 1000) });
    const world = new World().put(expired);
    world.open().close();
    expect(world.said).toEqual(['error: the certificate has expired: clients refuse it']);
  });
});
