// The users of the configuration: their principals, hashes and policies, and the two questions asked about them, who is it (Authenticator) and may they
// (Authorizer). Relies on a PasswordVerifier for the slow comparison; a password that was verified once is remembered for a while by a keyed digest, so
// that reconnecting costs microseconds. Never keeps a password.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { AuthExchange, Authenticator, AuthResult, Credentials } from '../core/authenticator.ts';
import type { Action, Authorizer, Principal, Resource } from '../core/authorizer.ts';
import type { Clock } from '../io/clock.ts';
import {
  COST_LOG2_DEFAULT,
  PASSWORD_BYTES_MAX,
  type PasswordHash,
  parsePasswordHash,
  unsatisfiableHash,
} from './password.ts';
import type { PasswordVerifier } from './password-verifier.ts';
import { compilePolicy, isAllowed, NOTHING_ALLOWED, type Policy, type Rules } from './policy.ts';
import {
  formatScramKeys,
  ITERATIONS_DEFAULT,
  parseScramKeys,
  SCRAM_METHOD,
  type ScramKeys,
  ScramServer,
  unknownKeys,
} from './scram.ts';

export interface UserEntry extends Rules {
  readonly name: string;
  /** PHC string as `sluice user hash` prints it. */
  readonly hash: string;
  /** Keys as `sluice user scram` prints them; without them the user cannot log in by SCRAM. */
  readonly scram?: string | undefined;
}

export interface UserSettings {
  readonly anonymous: 'loopback' | boolean;
  readonly anonymousRules: Rules;
  readonly users: readonly UserEntry[];
}

export const ANONYMOUS = 'anonymous';

/** How long a verified password is believed without hashing it again. */
export const REMEMBER_MS = 10 * 60 * 1000;

const BAD: AuthResult = { ok: false, reason: 'bad-credentials' };
const NOT_AUTHORIZED: AuthResult = { ok: false, reason: 'not-authorized' };
const BUSY: AuthResult = { ok: false, reason: 'busy' };
const NOTHING = new Uint8Array(0);

/** What a Principal's `policy` is: replaced in place when the configuration changes, so that connections that are open follow it. */
class PolicyHolder {
  policy: Policy;

  constructor(policy: Policy) {
    this.policy = policy;
  }
}

interface User {
  readonly hashText: string;
  readonly scram: ScramKeys | null;
  readonly hash: PasswordHash;
  readonly granted: AuthResult & { ok: true };
  /** Digest of the password that was verified last, until verifiedUntilMs; null when none was. */
  verified: Buffer | null;
  verifiedUntilMs: number;
  /** The check in progress, for whoever comes with the same password meanwhile. */
  checking: { readonly digest: Buffer; readonly result: Promise<AuthResult> } | null;
}

export class UserDirectory implements Authenticator, Authorizer {
  epoch = 1;
  private readonly verifier: PasswordVerifier;
  private readonly clock: Pick<Clock, 'now'>;
  private readonly digestKey = randomBytes(32);
  private readonly holders = new Map<string, PolicyHolder>();
  private readonly anonymousGranted: AuthResult;
  private users = new Map<string, User>();
  private anonymous: 'loopback' | boolean = false;
  private nobody: PasswordHash | null = null;
  /** What an unknown user is asked with: as many as a known one. */
  private scramIterations = ITERATIONS_DEFAULT;

  constructor(settings: UserSettings, verifier: PasswordVerifier, clock: Pick<Clock, 'now'>) {
    this.verifier = verifier;
    this.clock = clock;
    this.replace(settings);
    this.anonymousGranted = { ok: true, principal: this.principal(ANONYMOUS) };
  }

  /** Takes over new settings at once: also for connections that are open, whose permissions change with the epoch. */
  replace({ anonymous, anonymousRules, users }: UserSettings): void {
    const before = this.users;
    this.users = new Map();
    this.anonymous = anonymous;
    let costLog2 = 0;
    for (const holder of this.holders.values()) holder.policy = NOTHING_ALLOWED;
    this.hold(ANONYMOUS, compilePolicy(anonymousRules));
    for (const entry of users) {
      const hash = parsePasswordHash(entry.hash);
      if (hash === null || entry.name === ANONYMOUS || this.users.has(entry.name)) {
        throw new Error(
          `auth.users: the entry of ${JSON.stringify(entry.name)} was checked when the configuration was read`,
        );
      }
      costLog2 = Math.max(costLog2, hash.costLog2);
      this.hold(entry.name, compilePolicy(entry));
      const same = before.get(entry.name);
      this.users.set(
        entry.name,
        same?.hashText === entry.hash && sameKeys(same.scram, entry.scram) ? same : this.newUser(entry, hash),
      );
    }
    for (const { scram } of this.users.values()) if (scram !== null) this.scramIterations = scram.iterations;
    // Without users there is no name to hide.
    this.nobody = users.length === 0 ? null : unsatisfiableHash(costLog2 || COST_LOG2_DEFAULT);
    this.epoch++;
  }

  authenticate(credentials: Credentials): AuthResult | Promise<AuthResult> {
    const { username, password } = credentials;
    const name = username ?? '';
    const noPassword = password === null || password.length === 0;
    if (name === '' && noPassword) return this.withoutCredentials(credentials);
    if (name === '' || noPassword || password.length > PASSWORD_BYTES_MAX) return BAD;

    const { address } = credentials.peer;
    const user = this.users.get(name);
    if (user === undefined) {
      // As slow as for a user there is, so that the time does not tell which names exist.
      if (this.nobody === null) return BAD;
      return this.verifier.verify(password, this.nobody, address).then((verdict) => (verdict === 'busy' ? BUSY : BAD));
    }
    const digest = createHmac('sha256', this.digestKey).update(password).digest();
    if (this.isRemembered(user, digest)) return user.granted;
    if (user.checking !== null && timingSafeEqual(user.checking.digest, digest)) return user.checking.result;
    return this.check(name, user, digest, password, address);
  }

  begin(method: string, _credentials: Credentials): AuthExchange | null {
    if (method !== SCRAM_METHOD) return null;
    const server = new ScramServer(
      (name) => this.users.get(name)?.scram ?? unknownKeys(this.digestKey, name, this.scramIterations),
    );
    let begun = false;
    return {
      step: (data) => {
        // The client may leave the first word to the broker, which has nothing to say: an empty challenge.
        if (!begun && (data === null || data.length === 0)) {
          begun = true;
          return { done: false, data: NOTHING };
        }
        begun = true;
        const step = server.step(data ?? NOTHING);
        if (step.kind === 'challenge') return { done: false, data: step.data };
        const user = step.kind === 'accepted' ? this.users.get(step.name) : undefined;
        if (step.kind === 'refused' || user === undefined || user.scram === null)
          return { done: true, result: BAD, data: null };
        return { done: true, result: user.granted, data: step.data };
      },
    };
  }

  dependsOnClient({ policy: holder }: Principal): boolean {
    return holder instanceof PolicyHolder && holder.policy.dependsOnClient;
  }

  allows(principal: Principal, clientId: string, action: Action, resource: Resource): boolean {
    const holder = principal.policy;
    if (!(holder instanceof PolicyHolder)) return false;
    return isAllowed(holder.policy, principal.name, clientId, action, resource);
  }

  close(): Promise<void> {
    return this.verifier.close();
  }

  private withoutCredentials({ peer }: Credentials): AuthResult {
    const allowed = this.anonymous === 'loopback' ? peer.loopback : this.anonymous;
    return allowed ? this.anonymousGranted : NOT_AUTHORIZED;
  }

  private isRemembered(user: User, digest: Buffer): boolean {
    if (user.verified === null) return false;
    if (this.clock.now() >= user.verifiedUntilMs) user.verified = null;
    return user.verified !== null && timingSafeEqual(user.verified, digest);
  }

  private check(name: string, user: User, digest: Buffer, password: Uint8Array, peer: string): Promise<AuthResult> {
    const result = this.verifier.verify(password, user.hash, peer).then((verdict): AuthResult => {
      if (user.checking?.digest === digest) user.checking = null;
      if (verdict === 'busy') return BUSY;
      // The user may have been changed or removed while we computed.
      if (verdict === 'differs' || this.users.get(name) !== user) return BAD;
      user.verified = digest;
      user.verifiedUntilMs = this.clock.now() + REMEMBER_MS;
      return user.granted;
    });
    user.checking = { digest, result };
    return result;
  }

  private newUser({ name, hash: hashText, scram }: UserEntry, hash: PasswordHash): User {
    const granted = { ok: true as const, principal: this.principal(name) };
    const keys = scram === undefined ? null : parseScramKeys(scram);
    return { hashText, scram: keys, hash, granted, verified: null, verifiedUntilMs: 0, checking: null };
  }

  /** Who has this name: with the permissions it has now and later, none while there is no such user. */
  principal(name: string): Principal {
    return { name, policy: this.holders.get(name) ?? this.hold(name, NOTHING_ALLOWED) };
  }

  private hold(name: string, policy: Policy): PolicyHolder {
    const held = this.holders.get(name);
    if (held !== undefined) {
      held.policy = policy;
      return held;
    }
    const holder = new PolicyHolder(policy);
    this.holders.set(name, holder);
    return holder;
  }
}

function sameKeys(keys: ScramKeys | null, text: string | undefined): boolean {
  return (keys === null ? undefined : formatScramKeys(keys)) === text;
}
