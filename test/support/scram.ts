// SCRAM-SHA-256 from the client's side (RFC 5802 and 7677), with a nonce that is always the same.
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';

/** The client's side of the conversation. */
export class Scram {
  private readonly name: string;
  private readonly password: string;
  private readonly nonce = 'rOprNGfwEbeRWgbNEkqO';
  private expected = '';

  constructor(name: string, password: string) {
    this.name = name;
    this.password = password;
  }

  first(): Buffer {
    return Buffer.from(`n,,n=${this.name},r=${this.nonce}`);
  }

  final(challenge: Uint8Array): Buffer {
    const serverFirst = Buffer.from(challenge).toString();
    const [, nonce, salt, iterations] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(serverFirst)!;
    const salted = pbkdf2Sync(this.password, Buffer.from(salt!, 'base64'), Number(iterations), 32, 'sha256');
    const clientKey = createHmac('sha256', salted).update('Client Key').digest();
    const without = `c=biws,r=${nonce}`;
    const said = `n=${this.name},r=${this.nonce},${serverFirst},${without}`;
    const proof = createHmac('sha256', createHash('sha256').update(clientKey).digest()).update(said).digest();
    for (let i = 0; i < proof.length; i++) proof[i] = proof[i]! ^ clientKey[i]!;
    const serverKey = createHmac('sha256', salted).update('Server Key').digest();
    this.expected = `v=${createHmac('sha256', serverKey).update(said).digest('base64')}`;
    return Buffer.from(`${without},p=${proof.toString('base64')}`);
  }

  verifies(data: Uint8Array | null): boolean {
    return data !== null && Buffer.from(data).toString() === this.expected;
  }
}
