// Tests of STOMP's statements: each in every version that says it, on real bytes.
import { describe, test } from 'vitest';
import { Version } from '../../protocols/stomp/frame.ts';
import { StompClient, StompWorld, type StompWorldOptions } from '../support/stomp-client.ts';
import { STOMP } from './stomp-statements.ts';

const VERSIONS = [Version.V1_0, Version.V1_1, Version.V1_2] as const;
const SAID_IN = new Map(STOMP.flatMap(([, rows]) => rows.map(({ id, versions }) => [id, versions] as const)));

export class Wire {
  readonly version: Version;
  readonly world: StompWorld;

  constructor(version: Version, options: StompWorldOptions = {}) {
    this.version = version;
    this.world = new StompWorld(options);
  }

  client(headers: Readonly<Record<string, string>> = {}): StompClient {
    return StompClient.connected(this.world, this.version, headers);
  }

  /** Not connected yet. */
  stranger(): StompClient {
    return new StompClient(this.world);
  }

  /** Headers by which ACK and NACK of this version name a delivery. */
  naming(message: { header(name: string): string | null }): Record<string, string> {
    if (this.version === Version.V1_2) return { id: message.header('ack')! };
    const id = { 'message-id': message.header('message-id')! };
    return this.version === Version.V1_0 ? id : { ...id, subscription: message.header('subscription')! };
  }
}

/** A test in every version that says all the statements its title names. */
export function said(title: string, body: (wire: Wire) => void | Promise<void>, options: StompWorldOptions = {}): void {
  const tags = [...title.matchAll(/\[(STOMP-[A-Z]-\d+)\]/g)].map(([, tag]) => tag!);
  const versions = VERSIONS.filter((version) => tags.every((tag) => SAID_IN.get(tag)!.includes(String(version - 10))));
  describe(title, () => {
    test.each(versions.map((version) => [`1.${version - 10}`, version] as const))('STOMP %s', async (_, version) => {
      await body(new Wire(version, options));
    });
  });
}
