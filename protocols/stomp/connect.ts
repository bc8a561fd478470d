// CONNECT: which version, which virtual host, who is it. The only step of a connection that may take time (a password to hash); until it is answered nothing else of the client is
// looked at. STOMP 1.2 "Connecting".
import type { AuthResult } from '../../src/core/authenticator.ts';
import { type Connection, ConnectionState } from './connection.ts';
import type { FrameScanner } from './decoder.ts';
import { stompError } from './errors.ts';
import { Frame, Version, versionText } from './frame.ts';
import { Header } from './headers.ts';
import { agreedInterval, HeartBeat, parseHeartBeat } from './heart-beat.ts';

/** What is needed of a CONNECT frame later. */
interface Connect {
  readonly version: Version;
  readonly heartBeat: { readonly sendsMs: number; readonly wantsMs: number };
}

const NO_HEART_BEAT = { sendsMs: 0, wantsMs: 0 };

export function onConnect(connection: Connection, { headers }: FrameScanner): void {
  const { adapter } = connection;
  if (adapter.closing) throw adapter.shuttingDown();
  const version = highestCommon(headers.string(Header['accept-version']));
  // From here on the client is known to understand this version's errors.
  connection.version = version;
  const host = headers.string(Header.host);
  // [STOMP-C-7]
  const vhost = host === null ? undefined : adapter.broker.vhosts.get(host);
  if (vhost !== undefined) connection.vhost = vhost;
  else if (host !== null && adapter.options.strictHost) {
    throw stompError(
      'login-refused',
      `there is no virtual host ${JSON.stringify(host.slice(0, 100))}, and stomp.strictHost is set`,
    );
  }
  // 1.0 has no heart-beats. [STOMP-H-1] [STOMP-H-6]
  const text = version === Version.V1_0 ? null : headers.string(Header['heart-beat']);
  const heartBeat = text === null ? NO_HEART_BEAT : parseHeartBeat(text);
  if (heartBeat === null)
    throw stompError('header-value-invalid', 'heart-beat is two numbers of milliseconds with a comma between them');
  connection.clientId = headers.string(Header['client-id']) ?? '';
  connection.state = ConnectionState.Authenticating;
  const passcode = headers.string(Header.passcode);
  const { peer, listener } = connection.transport;
  const answer = adapter.authenticator.authenticate({
    username: headers.string(Header.login),
    password: passcode === null ? null : Buffer.from(passcode),
    clientId: connection.clientId,
    peer,
    listener,
    mechanism: 'password',
  });
  const connect: Connect = { version, heartBeat };
  if (!(answer instanceof Promise)) {
    onAuthenticated(connection, connect, answer);
    return;
  }
  const receiptId = headers.string(Header.receipt);
  connection.pause();
  void answer.then((result) => {
    if (connection.state !== ConnectionState.Authenticating) return;
    try {
      onAuthenticated(connection, connect, result);
    } catch (error) {
      connection.onError(error, receiptId);
    }
    connection.resume();
    connection.goOn();
  });
}

/** STOMP 1.2 "Protocol Negotiation": without accept-version the client speaks 1.0. [STOMP-C-3] [STOMP-C-4] [STOMP-C-5] */
function highestCommon(acceptVersion: string | null): Version {
  if (acceptVersion === null) return Version.V1_0;
  const accepted = acceptVersion.split(',').map((version) => version.trim());
  for (const version of [Version.V1_2, Version.V1_1, Version.V1_0])
    if (accepted.includes(versionText(version))) return version;
  throw stompError('version-unsupported', `accept-version is ${JSON.stringify(acceptVersion.slice(0, 100))}`);
}

const REFUSALS = {
  'bad-credentials': 'the login or the passcode is wrong',
  'not-authorized': 'login and passcode are needed',
  busy: 'too many logins at the moment, try again later',
} as const;

function onAuthenticated(connection: Connection, { version, heartBeat }: Connect, result: AuthResult): void {
  const { adapter, transport } = connection;
  if (!result.ok) {
    adapter.broker.counters.connectionsRefused++;
    // [STOMP-C-8]
    throw stompError('login-refused', `access refused: ${REFUSALS[result.reason]}`);
  }
  const { heartBeatSendMs, heartBeatReceiveMs } = adapter.options;
  connection.principal = result.principal;
  connection.open();
  transport.established();
  const sendMs = agreedInterval(heartBeatSendMs, heartBeat.wantsMs);
  const receiveMs = agreedInterval(heartBeat.sendsMs, heartBeatReceiveMs);
  if (sendMs > 0 || receiveMs > 0)
    connection.heartBeat = new HeartBeat(sendMs, receiveMs, transport.kind, adapter.monotonicMs);
  // [STOMP-C-1] [STOMP-C-6] [STOMP-C-9] [STOMP-C-10]
  const headers = [
    'version',
    versionText(version),
    'session',
    connection.sessionName,
    'server',
    `Sluice/${adapter.serverVersion}`,
  ];
  if (version !== Version.V1_0) headers.push('heart-beat', `${heartBeatSendMs},${heartBeatReceiveMs}`);
  connection.send(new Frame('CONNECTED', headers));
  // STOMP 1.2 "Receipt": CONNECT is the one frame of a client that takes none.
  if (adapter.logger.debugEnabled)
    adapter.logger.debug({ ...connection.logFields(), version: versionText(version) }, 'connected');
}
