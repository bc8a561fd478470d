import { describe, expect, test } from 'vitest';
import {
  chooseSubprotocol,
  decideUpgrade,
  parseSubprotocols,
  type UpgradeRequest,
} from '../../../protocols/websocket/negotiate.ts';
import { SILENT } from '../../../src/io/logger.ts';
import { Gate } from '../../../src/server/gate.ts';
import { ManualClock } from '../../io/manual-clock.ts';
import { nothing } from '../../io/until.ts';
import { MQTT_SUBPROTOCOLS, STOMP_SUBPROTOCOLS, TinyAdapter } from './harness.ts';

const gate = new Gate({ clock: new ManualClock(), logger: SILENT, handshakeTimeoutMs: 1000 });
gate.add(new TinyAdapter('mqtt', MQTT_SUBPROTOCOLS, '', nothing));
gate.add(new TinyAdapter('stomp', STOMP_SUBPROTOCOLS, '', nothing));
gate.add(new TinyAdapter('http', [], '', nothing));

const local = { address: '127.0.0.1', port: 1, loopback: true };
const remote = { address: '10.0.0.7', port: 1, loopback: false };

function decide(request: Partial<UpgradeRequest>, origins: readonly string[] = ['same-host']) {
  const whole = { target: '/ws', host: '127.0.0.1:8080', origin: '', subprotocols: '', peer: local, ...request };
  return decideUpgrade(whole, { paths: ['/mqtt', '/stomp', '/ws', '/http'], origins }, gate);
}

/** What was agreed on, as 'adapter subprotocol', or the code of the refusal. */
function outcome(request: Partial<UpgradeRequest>, origins?: readonly string[]): string {
  const decision = decide(request, origins);
  return decision.accepted ? `${decision.adapter?.name ?? 'detect'} ${decision.subprotocol}`.trim() : decision.code;
}

describe('subprotocols', () => {
  test.each([
    [['mqtt'], 'mqtt'],
    [['mqttv3.1'], 'mqttv3.1'],
    [['mqtt', 'mqttv3.1'], 'mqtt'],
    [['mqttv3.1', 'mqtt'], 'mqttv3.1'],
    [['v10.stomp', 'v11.stomp', 'v12.stomp'], 'v12.stomp'],
    [['v12.stomp', 'v11.stomp', 'v10.stomp'], 'v12.stomp'],
    [['v10.stomp', 'v11.stomp'], 'v11.stomp'],
    [['v13.stomp', 'v11.stomp'], 'v11.stomp'],
    [['v11.stomp', 'mqtt', 'v12.stomp'], 'v12.stomp'],
    [['mqtt', 'v12.stomp'], 'mqtt'],
    [['chat', 'mqtt'], 'mqtt'],
    [['chat'], ''],
    [['MQTT'], ''],
  ])('of %j %j is taken', (offered, taken) => {
    expect(chooseSubprotocol(offered, [...MQTT_SUBPROTOCOLS, ...STOMP_SUBPROTOCOLS])).toBe(taken);
  });

  test('the header is a list, with or without spaces', () => {
    expect(parseSubprotocols('v10.stomp,v11.stomp ,  v12.stomp')).toEqual(['v10.stomp', 'v11.stomp', 'v12.stomp']);
    expect(parseSubprotocols('')).toEqual([]);
    expect(parseSubprotocols(' , ')).toEqual([]);
  });
});

describe('upgrade decision', () => {
  test('the subprotocol tells, whatever the path', () => {
    expect(outcome({ target: '/ws', subprotocols: 'mqtt' })).toBe('mqtt mqtt');
    expect(outcome({ target: '/stomp', subprotocols: 'mqtt' })).toBe('mqtt mqtt');
    expect(outcome({ target: '/mqtt?x=/stomp', subprotocols: 'v10.stomp, v12.stomp' })).toBe('stomp v12.stomp');
  });

  test('without a subprotocol the path tells, and where it does not, the first bytes will', () => {
    expect(outcome({ target: '/mqtt' })).toBe('mqtt');
    expect(outcome({ target: '/stomp?token=1' })).toBe('stomp');
    expect(outcome({ target: '/ws' })).toBe('detect');
    expect(outcome({ target: '/http' })).toBe('detect');
  });

  test('other paths and subprotocols nobody knows are refused', () => {
    expect(outcome({ target: '/' })).toBe('websocket-path');
    expect(outcome({ target: '/mqtt/' })).toBe('websocket-path');
    expect(outcome({ subprotocols: 'chat, superchat' })).toBe('websocket-subprotocol');
    expect(decide({ subprotocols: 'chat' })).toMatchObject({
      status: 400,
      message: expect.stringContaining('v12.stomp'),
    });
  });

  test.each([
    ['', '127.0.0.1:8080', local, 'detect'],
    ['http://127.0.0.1:8080', '127.0.0.1:8080', local, 'detect'],
    ['http://localhost:8080', 'localhost:8080', local, 'detect'],
    ['http://demo.localhost', 'demo.localhost', local, 'detect'],
    ['http://[::1]:8080', '[::1]:8080', local, 'detect'],
    ['https://plant.example', 'plant.example', remote, 'detect'],
    ['https://plant.example', 'plant.example:443', remote, 'detect'],
    ['http://PLANT.example', 'plant.EXAMPLE', remote, 'detect'],
    ['http://127.0.0.1:3000', '127.0.0.1:8080', local, 'websocket-origin'],
    ['http://evil.example', '127.0.0.1:8080', local, 'websocket-origin'],
    ['http://evil.example', 'plant.example', remote, 'websocket-origin'],
    ['http://plant.example.evil.example', 'plant.example', remote, 'websocket-origin'],
    ['null', '127.0.0.1:8080', local, 'websocket-origin'],
    ['file://', '', local, 'websocket-origin'],
    ['http://x', '', local, 'websocket-origin'],
    ['http://x/path', 'x', remote, 'websocket-origin'],
  ])('same-host: a page from %j at host %j is judged by both', (origin, host, peer, expected) => {
    expect(outcome({ origin, host, peer })).toBe(expected);
  });

  test('a foreign name that leads to this machine is not the same host', () => {
    const rebound = { origin: 'http://evil.example:8080', host: 'evil.example:8080' };
    expect(outcome({ ...rebound, peer: local })).toBe('websocket-origin');
    expect(outcome({ ...rebound, peer: local }, ['same-host', 'http://evil.example:8080'])).toBe('detect');
  });

  test('listed origins are compared as a whole, and * lets everybody in', () => {
    const listed = ['https://plant.example', 'http://a.example:3000'];
    expect(outcome({ origin: 'https://plant.example' }, listed)).toBe('detect');
    expect(outcome({ origin: 'https://plant.example:443' }, listed)).toBe('detect');
    expect(outcome({ origin: 'http://plant.example' }, listed)).toBe('websocket-origin');
    expect(outcome({ origin: 'http://a.example' }, listed)).toBe('websocket-origin');
    expect(outcome({ origin: 'http://127.0.0.1:8080' }, listed)).toBe('websocket-origin');
    expect(outcome({ origin: 'null' }, ['*'])).toBe('detect');
    expect(decide({ origin: 'http://x.example' }, listed)).toMatchObject({ status: 403 });
  });
});
