// Decides on a request to become a WebSocket: may this page connect, is it the right path, and which protocol will be spoken. Pure; serves every engine.
// Where nothing names the protocol, its first bytes will.
import type { Peer } from '../../src/io/transport.ts';
import type { Gate } from '../../src/server/gate.ts';
import type { ProtocolAdapter } from '../../src/server/protocol.ts';

export interface WebSocketRules {
  /** Where upgrades are taken. One that ends in an adapter's name means that adapter for clients that offer no subprotocol. */
  readonly paths: readonly string[];
  /** Pages that may connect: 'https://plant.example', 'same-host', or '*' for any. Clients that are no browsers send no Origin and always may. */
  readonly origins: readonly string[];
}

export interface UpgradeRequest {
  /** As in the request line. */
  readonly target: string;
  /** Headers as they came; '' when absent. */
  readonly host: string;
  readonly origin: string;
  readonly subprotocols: string;
  readonly peer: Peer;
}

export type UpgradeDecision =
  | {
      readonly accepted: true;
      /** null: the first bytes will tell. */
      readonly adapter: ProtocolAdapter | null;
      /** '' when none was offered. */
      readonly subprotocol: string;
    }
  | { readonly accepted: false; readonly status: number; readonly code: string; readonly message: string };

export function decideUpgrade(request: UpgradeRequest, rules: WebSocketRules, gate: Gate): UpgradeDecision {
  const path = request.target.split('?', 1)[0]!;
  if (!rules.paths.includes(path)) {
    return refused(404, 'websocket-path', `no WebSocket at ${path}; websocket.paths has ${rules.paths.join(', ')}`);
  }
  const { origin } = request;
  if (origin !== '' && !isOriginAllowed(request, rules.origins)) {
    return refused(403, 'websocket-origin', `pages from ${origin} may not connect; websocket.origins allows them`);
  }
  // [MQTT-6.0.0-4], [3.1.1 MQTT-6.0.0-4]
  const offered = parseSubprotocols(request.subprotocols);
  if (offered.length === 0) {
    const adapter = gate.adapter(path.slice(path.lastIndexOf('/') + 1));
    return { accepted: true, adapter: adapter?.subprotocols.length ? adapter : null, subprotocol: '' };
  }
  const subprotocol = chooseSubprotocol(offered, gate.subprotocols);
  if (subprotocol === '') {
    const known = gate.subprotocols.join(', ');
    return refused(
      400,
      'websocket-subprotocol',
      `none of the subprotocols ${offered.join(', ')} is known, only ${known}`,
    );
  }
  return { accepted: true, adapter: gate.adapterOfSubprotocol(subprotocol), subprotocol };
}

function refused(status: number, code: string, message: string): UpgradeDecision {
  return { accepted: false, status, code, message };
}

export function parseSubprotocols(header: string): string[] {
  return header
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

const STOMP_SUBPROTOCOL = /^v(\d\d)\.stomp$/;

/** The first of the client's that is known; of several STOMP versions the highest, since clients list them in either order. '' when none is. */
export function chooseSubprotocol(offered: readonly string[], known: readonly string[]): string {
  let chosen = '';
  let chosenVersion = '';
  for (const name of offered) {
    if (!known.includes(name)) continue;
    const version = STOMP_SUBPROTOCOL.exec(name)?.[1] ?? '';
    if (chosen === '' || (chosenVersion !== '' && version > chosenVersion)) {
      chosen = name;
      chosenVersion = version;
    }
  }
  return chosen;
}

function isOriginAllowed({ origin, host, peer }: UpgradeRequest, allowed: readonly string[]): boolean {
  if (allowed.includes('*')) return true;
  const page = parseOrigin(origin);
  // 'null' (a page out of a file or a sandbox) is nobody's origin.
  if (page === null) return false;
  if (allowed.some((one) => parseOrigin(one)?.origin === page.origin)) return true;
  return allowed.includes('same-host') && isSameHost(page, host, peer);
}

function isSameHost(page: URL, host: string, peer: Peer): boolean {
  const asked = parseOrigin(`${page.protocol}//${host}`);
  if (asked === null || asked.host !== page.host) return false;
  // Somebody's page at a name of theirs that leads to this very machine would look like our own page to a visitor's browser here (DNS rebinding).
  return !peer.loopback || isLocalName(page.hostname);
}

/** Names that nobody else can make lead here: addresses, and localhost. */
function isLocalName(hostname: string): boolean {
  if (hostname === 'localhost' || hostname.endsWith('.localhost')) return true;
  return hostname.startsWith('[') || /^\d{1,3}(\.\d{1,3}){3}$/.test(hostname);
}

function parseOrigin(text: string): URL | null {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return null;
  const url = new URL(text);
  return url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '' ? url : null;
}
