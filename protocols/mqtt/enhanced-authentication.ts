// Authentication by challenge and response (MQTT 5.0 section 4.12), at the beginning of a connection and again while it goes on. The method itself is the authenticator's; here is who may say
// what when, and in which packet. It belongs to one connection.
import type { AuthExchange, AuthResult, AuthStep, Credentials } from '../../src/core/authenticator.ts';
import { type Connection, ConnectionState } from './connection.ts';
import { protocolError } from './errors.ts';
import { type Auth, auth, properties } from './packet.ts';
import { ReasonCode } from './reason-codes.ts';

export class EnhancedAuthentication {
  /** It is the client's turn to say something. */
  awaitsClient = false;
  private readonly connection: Connection;
  private readonly method: string;
  private readonly credentials: Credentials;
  private readonly onResult: (result: AuthResult, data: Uint8Array | null) => void;
  /** Null while nothing is being exchanged. */
  private exchange: AuthExchange | null = null;

  /** onResult is told how the first exchange ended. */
  constructor(
    connection: Connection,
    method: string,
    credentials: Credentials,
    onResult: (result: AuthResult, data: Uint8Array | null) => void,
  ) {
    this.connection = connection;
    this.method = method;
    this.credentials = credentials;
    this.onResult = onResult;
  }

  /** The CONNECT has named the method, and may have brought the first data. */
  begin(exchange: AuthExchange, data: Uint8Array | null): void {
    this.exchange = exchange;
    this.take(exchange.step(data));
  }

  onAuth(packet: Auth): void {
    const { authenticationMethod, authenticationData } = packet.properties;
    // [MQTT-4.12.0-5] [MQTT-4.12.1-1]
    if (authenticationMethod !== this.method) throw protocolError('AUTH: the method is not that of CONNECT');
    if (packet.reasonCode === ReasonCode.REAUTHENTICATE) {
      if (this.connection.state !== ConnectionState.Connected || this.exchange !== null) {
        throw protocolError('AUTH: an authentication is under way already');
      }
      const exchange = this.connection.adapter.authenticator.begin?.(this.method, this.credentials) ?? null;
      if (exchange === null) {
        this.connection.close(
          ReasonCode.BAD_AUTHENTICATION_METHOD,
          'the authentication method is not offered any more',
        );
        return;
      }
      this.begin(exchange, authenticationData);
      return;
    }
    // [MQTT-4.12.0-3]
    if (packet.reasonCode !== ReasonCode.CONTINUE_AUTHENTICATION || this.exchange === null || !this.awaitsClient) {
      throw protocolError('AUTH: nothing was asked');
    }
    this.take(this.exchange.step(authenticationData));
  }

  /** The connection ends: what is still being computed does not matter any more. */
  stop(): void {
    this.exchange = null;
    this.awaitsClient = false;
  }

  private take(step: AuthStep | Promise<AuthStep>): void {
    this.awaitsClient = false;
    if (!(step instanceof Promise)) {
      this.onStep(step);
      return;
    }
    const { exchange, connection } = this;
    void step.then((answer) => {
      if (this.exchange !== exchange || connection.state === ConnectionState.Closed) return;
      try {
        this.onStep(answer);
      } catch (error) {
        connection.onError(error);
      }
      connection.goOn();
    });
  }

  private onStep(step: AuthStep): void {
    const { connection } = this;
    if (!step.done) {
      this.awaitsClient = true;
      // [MQTT-4.12.0-2]
      this.send(ReasonCode.CONTINUE_AUTHENTICATION, step.data);
      return;
    }
    this.exchange = null;
    if (connection.state === ConnectionState.Authenticating) {
      // [MQTT-4.12.0-4]
      this.onResult(step.result, step.data);
      return;
    }
    // [MQTT-4.12.1-2]: it has to be the same user, whose session this is.
    if (!step.result.ok || step.result.principal.name !== connection.principal!.name) {
      connection.close(ReasonCode.NOT_AUTHORIZED, 'the new authentication failed');
      return;
    }
    this.send(ReasonCode.SUCCESS, step.data);
  }

  private send(reason: number, authenticationData: Uint8Array | null): void {
    this.connection.send(auth(reason, properties({ authenticationMethod: this.method, authenticationData })));
  }
}
