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

export interface Authenticator {
  authenticate(credentials: Credentials): AuthResult | Promise<AuthResult>;
}
