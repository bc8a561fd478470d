import { describe, expect, it } from 'vitest';
import { formatPasswordHash, hashPassword, type PasswordHash, parsePasswordHash } from '../../src/auth/password.ts';
import type { PasswordVerifier, Verdict } from '../../src/auth/password-verifier.ts';
import { REMEMBER_MS, UserDirectory, type UserSettings } from '../../src/auth/user-directory.ts';
import type { AuthResult, Credentials } from '../../src/core/authenticator.ts';
import type { Resource } from '../../src/core/authorizer.ts';

const hashOf = (password: string) => formatPasswordHash(hashPassword(Buffer.from(password), 14));
const ANN = hashOf('right');
const BOB = hashOf('bobs');

/** Knows the passwords of the hashes above, and computes nothing; answers when told to. */
class ScriptedVerifier implements PasswordVerifier {
  readonly asked: { readonly hash: PasswordHash; readonly peer: string }[] = [];
  busy = false;
  private readonly passwords = new Map([
    [parsePasswordHash(ANN)?.key.toString(), 'right'],
    [parsePasswordHash(BOB)?.key.toString(), 'bobs'],
  ]);

  async verify(password: Uint8Array, hash: PasswordHash, peer: string): Promise<Verdict> {
    this.asked.push({ hash, peer });
    await Promise.resolve();
    if (this.busy) return 'busy';
    return this.passwords.get(hash.key.toString()) === Buffer.from(password).toString() ? 'matches' : 'differs';
  }

  async close(): Promise<void> {
    await Promise.resolve();
  }
}

class ManualClock {
  at = 1000;
  now(): number {
    return this.at;
  }
}

function world(settings: Partial<UserSettings> = {}) {
  const verifier = new ScriptedVerifier();
  const clock = new ManualClock();
  const all: UserSettings = {
    anonymous: 'loopback',
    anonymousRules: {},
    users: [{ name: 'ann', hash: ANN }],
    ...settings,
  };
  return { verifier, clock, directory: new UserDirectory(all, verifier, clock), settings: all };
}

function by(username: string | null, password: string | null, loopback = true): Credentials {
  return {
    username,
    password: password === null ? null : Buffer.from(password),
    clientId: 'c1',
    peer: { address: loopback ? '127.0.0.1' : '192.0.2.1', loopback },
    listener: 'mqtt',
    mechanism: 'password',
  };
}

const reason = (result: AuthResult) => (result.ok ? 'ok' : result.reason);
const topic = (name: string): Resource => ({ vhost: '/', kind: 'topic', name, key: name });

describe('a client without credentials', () => {
  it('is let in from this machine only, unless configured otherwise; the answer comes at once', () => {
    const cases = [
      ['loopback', true, 'ok'],
      ['loopback', false, 'not-authorized'],
      [true, false, 'ok'],
      [false, true, 'not-authorized'],
    ] as const;
    for (const [anonymous, loopback, expected] of cases) {
      const result = world({ anonymous }).directory.authenticate(by(null, null, loopback));
      expect(result).not.toBeInstanceOf(Promise);
      expect(reason(result as AuthResult)).toBe(expected);
    }
  });

  it('is one that gives empty ones, too', () => {
    const { directory } = world();
    expect(directory.authenticate(by('', ''))).toMatchObject({ ok: true, principal: { name: 'anonymous' } });
  });
});

describe('a client with credentials', () => {
  it('is who it says it is with the right password', async () => {
    const { directory } = world();
    expect(await directory.authenticate(by('ann', 'right', false))).toMatchObject({
      ok: true,
      principal: { name: 'ann' },
    });
  });

  it('is refused with wrong, unknown, half or empty ones, also where anonymous clients are let in', async () => {
    const { directory } = world({ anonymous: true });
    for (const [name, password] of [
      ['ann', 'wrong'],
      ['eve', 'right'],
      ['ann', ''],
      ['ann', null],
      ['', 'right'],
      [null, 'right'],
      ['anonymous', 'x'],
      ['__proto__', 'x'],
      ['ann', 'x'.repeat(2000)],
    ] as const) {
      expect(reason(await directory.authenticate(by(name, password))), `${name}/${password}`).toBe('bad-credentials');
    }
  });

  it('costs as much for an unknown user as for a known one', async () => {
    const { directory, verifier } = world();
    await directory.authenticate(by('eve', 'x'));
    expect(verifier.asked).toHaveLength(1);
    expect(verifier.asked[0]?.hash.costLog2).toBe(14);
  });

  it('costs nothing where no user exists', () => {
    const { directory, verifier } = world({ users: [] });
    expect(reason(directory.authenticate(by('eve', 'x')) as AuthResult)).toBe('bad-credentials');
    expect(verifier.asked).toHaveLength(0);
  });

  it('is told to come back when the verifier is busy', async () => {
    const { directory, verifier } = world();
    verifier.busy = true;
    expect(reason(await directory.authenticate(by('ann', 'right')))).toBe('busy');
    expect(reason(await directory.authenticate(by('eve', 'right')))).toBe('busy');
    verifier.busy = false;
    expect(reason(await directory.authenticate(by('ann', 'right')))).toBe('ok');
  });

  it('waits in the line of its own address', async () => {
    const { directory, verifier } = world();
    await directory.authenticate(by('ann', 'right', false));
    expect(verifier.asked[0]?.peer).toBe('192.0.2.1');
  });
});

describe('a password that was verified', () => {
  it('is believed at once for a while, and only that one', async () => {
    const { directory, verifier, clock } = world();
    const first = await directory.authenticate(by('ann', 'right'));
    const second = directory.authenticate(by('ann', 'right'));
    expect(second).toBe(first);
    expect(verifier.asked).toHaveLength(1);
    expect(reason(await directory.authenticate(by('ann', 'wrong')))).toBe('bad-credentials');
    expect(reason(await directory.authenticate(by('ann', 'right')))).toBe('ok');
    expect(verifier.asked).toHaveLength(2);

    clock.at += REMEMBER_MS;
    expect(directory.authenticate(by('ann', 'right'))).toBeInstanceOf(Promise);
    expect(verifier.asked).toHaveLength(3);
  });

  it('is computed once for all who come with it at the same time', async () => {
    const { directory, verifier } = world();
    const results = await Promise.all(Array.from({ length: 100 }, () => directory.authenticate(by('ann', 'right'))));
    expect(results.every(({ ok }) => ok)).toBe(true);
    expect(verifier.asked).toHaveLength(1);
  });

  it('is forgotten when the user’s hash changes, and kept when only the rules do', async () => {
    const { directory, verifier, settings } = world();
    await directory.authenticate(by('ann', 'right'));
    directory.replace({ ...settings, users: [{ name: 'ann', hash: ANN, allow: [] }] });
    expect(directory.authenticate(by('ann', 'right'))).not.toBeInstanceOf(Promise);
    directory.replace({ ...settings, users: [{ name: 'ann', hash: BOB }] });
    expect(reason(await directory.authenticate(by('ann', 'right')))).toBe('bad-credentials');
    expect(reason(await directory.authenticate(by('ann', 'bobs')))).toBe('ok');
    expect(verifier.asked).toHaveLength(3);
  });

  it('does not let a user in who was removed meanwhile', async () => {
    const { directory, settings } = world();
    const pending = directory.authenticate(by('ann', 'right'));
    directory.replace({ ...settings, users: [] });
    expect(reason(await pending)).toBe('bad-credentials');
  });
});

describe('permissions', () => {
  it('are those of the user, and follow changes for connections that are open', async () => {
    const rules = { allow: [{ actions: ['publish' as const], topics: ['users/%u/%c'] }] };
    const { directory, settings } = world({ users: [{ name: 'ann', hash: ANN, ...rules }] });
    const result = await directory.authenticate(by('ann', 'right'));
    if (!result.ok) throw new Error(result.reason);
    const may = (name: string) => directory.allows(result.principal, 'c1', 'publish', topic(name));
    expect([may('users/ann/c1'), may('users/ann/c2'), may('other')]).toEqual([true, false, false]);

    expect(directory.dependsOnClient(result.principal)).toBe(true);

    const before = directory.epoch;
    directory.replace({ ...settings, users: [{ name: 'ann', hash: ANN }] });
    expect(directory.epoch).toBeGreaterThan(before);
    expect(may('other')).toBe(true);
    expect(directory.dependsOnClient(result.principal)).toBe(false);
    directory.replace({ ...settings, users: [] });
    expect(may('users/ann/c1')).toBe(false);
  });

  it('are the anonymous rules for who has no name', () => {
    const { directory } = world({ anonymousRules: { allow: [{ actions: ['subscribe'], topics: ['public/#'] }] } });
    const result = directory.authenticate(by(null, null)) as AuthResult;
    if (!result.ok) throw new Error(result.reason);
    expect(directory.allows(result.principal, 'c1', 'subscribe', topic('public/x'))).toBe(true);
    expect(directory.allows(result.principal, 'c1', 'publish', topic('public/x'))).toBe(false);
  });

  it('are none for a principal that is not from here', () => {
    const { directory } = world();
    expect(directory.allows({ name: 'ann', policy: null }, 'c1', 'publish', topic('a'))).toBe(false);
    expect(directory.allows({ name: 'ann', policy: { policy: {} } }, 'c1', 'publish', topic('a'))).toBe(false);
  });
});
