// Who is at the other end: the interface by which a protocol session asks, once per connection. Implementations may answer at once (nothing to compute)
// or later (a password to hash); they never throw for what a peer sent.
import type { Principal } from './authorizer.ts';

export interface Credentials {
  /** null or '' where the peer gave none. */
  readonly username: string | null;
  readonly password: Uint8Array | null;
  readonly clientId: string;
  /** loopback is judged by the address of the real socket. */
  readonly peer: { readonly address: string; readonly loopback: boolean };
  /** Name of the listener that accepted the connection. */
  readonly listener: string;
  readonly mechanism: 'password';
}

export type AuthResult =
  | { readonly ok: true; readonly principal: Principal }
  /** bad-credentials: the name or the password is wrong. not-authorized: none were given, and they are needed. busy: try again later. */
  | { readonly ok: false; readonly reason: 'bad-credentials' | 'not-authorized' | 'busy' };

/** What an exchange says next: a challenge for the peer, or the end of it. `data` goes to the peer as it is; null for none. */
export type AuthStep =
  | { readonly done: false; readonly data: Uint8Array }
  | { readonly done: true; readonly result: AuthResult; readonly data: Uint8Array | null };

/** One authentication by challenge and response. */
export interface AuthExchange {
  /** Takes what the peer said (null: nothing yet). Called again only after it has answered with a challenge; `data` is valid during the call. Never throws for what a peer sent. */
  step(data: Uint8Array | null): AuthStep | Promise<AuthStep>;
}

export interface Authenticator {
  authenticate(credentials: Credentials): AuthResult | Promise<AuthResult>;
  /** Begins an exchange of this method; null when the method is not offered. The password of `credentials` plays no part. An implementation without it offers none. */
  begin?(method: string, credentials: Credentials): AuthExchange | null;
}
