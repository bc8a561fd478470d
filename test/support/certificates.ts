// Authorities and certificates made for a test, in memory and as PEM files.
import 'reflect-metadata';
import type { webcrypto } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

const DAY_MS = 86_400_000;
const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

export interface Issued {
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
}

export interface Wishes {
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** 'server' unless said otherwise. */
  readonly usage?: 'server' | 'client';
}

let serial = 1;

const makeKeys = (): Promise<webcrypto.CryptoKeyPair> => crypto.subtle.generateKey(EC, true, ['sign', 'verify']);

async function pemOf(key: webcrypto.CryptoKey): Promise<string> {
  return PemConverter.encode(await crypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}

export class Authority {
  private readonly own: X509Certificate;
  private readonly keys: webcrypto.CryptoKeyPair;

  private constructor(own: X509Certificate, keys: webcrypto.CryptoKeyPair) {
    this.own = own;
    this.keys = keys;
  }

  static async create(name = 'Test Authority'): Promise<Authority> {
    const keys = await makeKeys();
    const own = await X509CertificateGenerator.createSelfSigned({
      serialNumber: (serial++).toString(16).padStart(8, '0'),
      name: `CN=${name} ${serial}`,
      notBefore: new Date(Date.now() - DAY_MS),
      notAfter: new Date(Date.now() + 365 * DAY_MS),
      signingAlgorithm: EC,
      keys,
      extensions: [new BasicConstraintsExtension(true, undefined, true)],
    });
    return new Authority(own, keys);
  }

  get certificate(): string {
    return this.own.toString('pem');
  }

  /** For 127.0.0.1 and localhost, a year from now on, unless wished otherwise. */
  async issue(name: string, wishes: Wishes = {}): Promise<Issued> {
    const keys = await makeKeys();
    const { notBefore = new Date(Date.now() - DAY_MS), notAfter = new Date(Date.now() + 365 * DAY_MS) } = wishes;
    const usage = wishes.usage === 'client' ? ExtendedKeyUsage.clientAuth : ExtendedKeyUsage.serverAuth;
    const certificate = await X509CertificateGenerator.create({
      serialNumber: (serial++).toString(16).padStart(8, '0'),
      subject: `CN=${name}`,
      issuer: this.own.subject,
      notBefore,
      notAfter,
      signingAlgorithm: EC,
      publicKey: keys.publicKey,
      signingKey: this.keys.privateKey,
      extensions: [
        new BasicConstraintsExtension(false),
        new ExtendedKeyUsageExtension([usage]),
        new SubjectAlternativeNameExtension([
          { type: 'ip', value: '127.0.0.1' },
          { type: 'dns', value: 'localhost' },
        ]),
      ],
    });
    return { certificate: certificate.toString('pem'), key: await pemOf(keys.privateKey) };
  }
}

/** A folder of PEM files. */
export class PemFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'sluice-pem-'));

  /** Returns the path. */
  put(name: string, pem: string): string {
    const path = join(this.path, name);
    writeFileSync(path, pem);
    return path;
  }

  /** As the section `tls` of a listener. */
  putIssued(name: string, { certificate, key }: Issued): { certificate: string; key: string } {
    return { certificate: this.put(`${name}.crt`, certificate), key: this.put(`${name}.key`, key) };
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
