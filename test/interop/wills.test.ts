// Wills: only MQTT has them, everybody receives them.
import { describe, expect, it } from 'vitest';
import { disconnect, will } from '../../protocols/mqtt/packet.ts';
import { ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import { Properties } from '../../protocols/mqtt/properties.ts';
import { StompWorld } from '../support/stomp-client.ts';
import { MqttPeer, SPEAKERS } from './peer.ts';

const { V31, V311, V5 } = ProtocolVersion;

const VERSIONS = [
  ['MQTT 3.1', V31],
  ['MQTT 3.1.1', V311],
  ['MQTT 5', V5],
] as const;

const CASES = VERSIONS.flatMap(([name, version]) => SPEAKERS.map((to) => ({ name, version, to })));

describe.each(CASES)('the will of $name to $to.name', ({ version, to: consumer }) => {
  const payload = Buffer.from([0, 1, 255]);

  it('is delivered when the connection is lost, and retained when it says so', () => {
    const world = new StompWorld();
    const to = consumer.connect(world, 'to');
    to.subscribe(to.topic('will/#'));
    const properties = new Properties();
    if (version === V5) {
      properties.contentType = 'application/octet-stream';
      properties.userProperties = ['why', 'gone'];
    }
    const lost = new MqttPeer(world, version, 'lost', {
      will: will('will/a.b', { payload, qos: 1, retain: true, properties }),
    });
    lost.hangUp();
    const [heard] = to.receive();
    expect(heard).toMatchObject({ destination: to.topic('will/a.b'), retained: false });
    expect(heard?.payload.equals(payload)).toBe(true);
    const both = version === V5 && to.hasProperties;
    expect(heard?.contentType).toBe(both ? 'application/octet-stream' : null);
    expect(heard?.headers).toEqual(both ? [['why', 'gone']] : []);
    const late = consumer.connect(world, 'late');
    late.subscribe(late.topic('will/#'));
    expect(late.receive().map(({ destination, retained }) => [destination, retained])).toEqual([
      [late.topic('will/a.b'), true],
    ]);
  });

  it('goes to a queue, where it waits', () => {
    const world = new StompWorld();
    new MqttPeer(world, version, 'lost', { will: will('$queue/mourning', { payload, qos: 1 }) }).hangUp();
    const to = consumer.connect(world, 'to');
    to.subscribe(to.queue('mourning'));
    expect(to.receive().map(({ payload: got }) => got.equals(payload))).toEqual([true]);
  });

  it('is not sent after a goodbye', () => {
    const world = new StompWorld();
    const to = consumer.connect(world, 'to');
    to.subscribe(to.topic('will/#'));
    const polite = new MqttPeer(world, version, 'polite', { will: will('will/x', { payload }) });
    polite.client.send(disconnect());
    polite.hangUp();
    expect(to.receive()).toEqual([]);
  });
});
