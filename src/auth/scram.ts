// SCRAM-SHA-256, the server's side (RFC 5802 and 7677): the client proves that it knows the password without sending it, the server that it has the client's keys. What is stored of a
// password is enough to check a proof and useless for making one. Checking costs three hashes, so it is done where it is asked; only making credentials (PBKDF2) takes time.
//
//   SCRAM-SHA-256$4096:SALT$STORED-KEY:SERVER-KEY        base64; the form PostgreSQL keeps
import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from 'node:crypto';

export const SCRAM_METHOD = 'SCRAM-SHA-256';
/** RFC 7677 asks for at least so many; each is paid by the client at every login. */
export const ITERATIONS_MIN = 4096;
export const ITERATIONS_MAX = 1_000_000;
/** What a thief of the keys has to compute for a password he tries; a tenth of a second for the client. */
export const ITERATIONS_DEFAULT = 100_000;

const KEY_BYTES = 32;
const SALT_BYTES = 16;
const NONCE_BYTES = 18;
/** A client's message: name, nonce and proof, with room. */
const MESSAGE_BYTES_MAX = 4096;

export interface ScramKeys {
  readonly iterations: number;
  readonly salt: Uint8Array;
  readonly storedKey: Uint8Array;
  readonly serverKey: Uint8Array;
}

const STORED = /^SCRAM-SHA-256\$(\d{1,7}):([A-Za-z0-9+/]+={0,2})\$([A-Za-z0-9+/]{43}=):([A-Za-z0-9+/]{43}=)$/;

/** Reads stored keys; null when they are none, or computed with too few or too many iterations. */
export function parseScramKeys(text: string): ScramKeys | null {
  const match = STORED.exec(text);
  if (match === null) return null;
  const iterations = Number(match[1]);
  if (iterations < ITERATIONS_MIN || iterations > ITERATIONS_MAX) return null;
  const [salt, storedKey, serverKey] = [match[2]!, match[3]!, match[4]!].map((part) => Buffer.from(part, 'base64'));
  return { iterations, salt: salt!, storedKey: storedKey!, serverKey: serverKey! };
}

export function formatScramKeys({ iterations, salt, storedKey, serverKey }: ScramKeys): string {
  return `${SCRAM_METHOD}$${iterations}:${base64(salt)}$${base64(storedKey)}:${base64(serverKey)}`;
}

/** Keys of a password, which must not be empty; on this thread. */
export function scramKeys(
  password: string,
  iterations = ITERATIONS_DEFAULT,
  salt: Uint8Array = randomBytes(SALT_BYTES),
): ScramKeys {
  const salted = pbkdf2Sync(password.normalize('NFKC'), salt, iterations, KEY_BYTES, 'sha256');
  const clientKey = hmac(salted, 'Client Key');
  return { iterations, salt, storedKey: sha256(clientKey), serverKey: hmac(salted, 'Server Key') };
}

/** Keys that no password has, the same each time for one name: what an unknown user is asked with, so that nobody learns which names exist. */
export function unknownKeys(secret: Uint8Array, name: string, iterations = ITERATIONS_DEFAULT): ScramKeys {
  const salt = hmac(secret, `salt ${name}`).subarray(0, SALT_BYTES);
  return { iterations, salt, storedKey: hmac(secret, `stored ${name}`), serverKey: hmac(secret, `server ${name}`) };
}

/** How one message of the client was taken. 'refused' is the end; the data explains it in the form of the protocol where it has one. */
export type ScramStep =
  | { readonly kind: 'challenge'; readonly data: Uint8Array }
  | { readonly kind: 'accepted'; readonly name: string; readonly data: Uint8Array }
  | { readonly kind: 'refused' };

const REFUSED: ScramStep = { kind: 'refused' };

/** One conversation: client-first, client-final. */
export class ScramServer {
  private readonly keysOf: (name: string) => ScramKeys;
  private readonly nonceOf: () => Uint8Array;
  private keys: ScramKeys | null = null;
  private name = '';
  private header = '';
  private firstBare = '';
  private serverFirst = '';
  private nonce = '';

  /** keysOf answers for every name (see unknownKeys); nonceOf gives fresh random bytes. */
  constructor(keysOf: (name: string) => ScramKeys, nonceOf: () => Uint8Array = () => randomBytes(NONCE_BYTES)) {
    this.keysOf = keysOf;
    this.nonceOf = nonceOf;
  }

  step(data: Uint8Array): ScramStep {
    if (data.length > MESSAGE_BYTES_MAX) return REFUSED;
    const text = Buffer.from(data).toString('utf8');
    return this.keys === null ? this.onFirst(text) : this.onFinal(text, this.keys);
  }

  /** gs2-header client-first-message-bare: `n,,n=user,r=nonce`. */
  private onFirst(text: string): ScramStep {
    // 'p' asks for channel binding, which needs a TLS channel to bind to.
    const match = /^([ny],(?:a=([^,]*))?,)(n=([^,]+),r=([\x21-\x2b\x2d-\x7e]{1,512}))$/.exec(text);
    if (match === null) return REFUSED;
    const name = saslName(match[4]!);
    const other = match[2];
    if (name === null || (other !== undefined && other !== '' && saslName(other) !== name)) return REFUSED;
    this.header = match[1]!;
    this.firstBare = match[3]!;
    this.name = name;
    this.nonce = match[5]! + base64(this.nonceOf());
    this.keys = this.keysOf(name);
    this.serverFirst = `r=${this.nonce},s=${base64(this.keys.salt)},i=${this.keys.iterations}`;
    return { kind: 'challenge', data: Buffer.from(this.serverFirst) };
  }

  /** `c=<header in base64>,r=nonce,p=proof`. */
  private onFinal(text: string, keys: ScramKeys): ScramStep {
    const match = /^(c=([A-Za-z0-9+/=]+),r=([^,]+)),p=([A-Za-z0-9+/]{43}=)$/.exec(text);
    if (match === null || match[3] !== this.nonce) return REFUSED;
    if (Buffer.from(match[2]!, 'base64').toString('utf8') !== this.header) return REFUSED;
    const said = `${this.firstBare},${this.serverFirst},${match[1]}`;
    const signature = hmac(keys.storedKey, said);
    const proof = Buffer.from(match[4]!, 'base64');
    for (let i = 0; i < proof.length; i++) proof[i] = proof[i]! ^ signature[i]!;
    if (!timingSafeEqual(sha256(proof), keys.storedKey)) return REFUSED;
    return { kind: 'accepted', name: this.name, data: Buffer.from(`v=${base64(hmac(keys.serverKey, said))}`) };
  }
}

/** A name as it stands in a message: ',' and '=' are escaped. Null when it is not in form. */
function saslName(text: string): string | null {
  if (/=(?!2C|3D)/.test(text)) return null;
  return text.replaceAll('=2C', ',').replaceAll('=3D', '=');
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}
