// Request and response across protocols: the responder answers to the address it was shown, in its own protocol's words, and knows nothing of the requester's.
import { describe, expect, it } from 'vitest';
import { properties } from '../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import { MqttClient } from '../support/mqtt-client.ts';
import { StompWorld } from '../support/stomp-client.ts';
import { type Peer, SPEAKERS, STOMP_SPEAKERS } from './peer.ts';

/** Those that have a word for where the answer goes. */
const RESPONDERS = SPEAKERS.filter(({ name }) => name === 'MQTT 5' || name.startsWith('STOMP'));
const IDS = [Buffer.from('17'), Buffer.from([0, 0xff, 0x80])];

/** Doubles the numbers it is asked. */
function respond(responder: Peer): number {
  const requests = responder.receive();
  for (const { payload, replyTo, correlationId } of requests) {
    expect(replyTo).not.toBeNull();
    const said = correlationId === null ? {} : { correlationId };
    responder.publish(replyTo ?? '', String(2 * Number(payload.toString())), said);
  }
  return requests.length;
}

const PAIRS = RESPONDERS.flatMap((requester) => RESPONDERS.map((responder) => ({ requester, responder })));

describe.each(PAIRS)('$requester.name asks $responder.name', ({ requester: asking, responder: answering }) => {
  const meet = () => {
    const world = new StompWorld();
    return { world, requester: asking.connect(world, 'requester'), responder: answering.connect(world, 'responder') };
  };

  it.each(['topic', 'queue'] as const)('and gets the answers on a %s of its own choice', (kind) => {
    const { requester, responder } = meet();
    const place = (peer: Peer) => (kind === 'topic' ? peer.topic('answers/for.me') : peer.queue('answers for.me'));
    responder.subscribe(responder.queue('service'));
    requester.subscribe(place(requester));
    for (const [i, correlationId] of IDS.entries()) {
      requester.publish(requester.queue('service'), String(20 + i), { replyTo: place(requester), correlationId });
    }
    expect(respond(responder)).toBe(2);
    const answers = requester.receive();
    expect(answers.map(({ payload, destination }) => [payload.toString(), destination])).toEqual([
      ['40', place(requester)],
      ['42', place(requester)],
    ]);
    expect(answers.map(({ correlationId }) => correlationId)).toEqual(IDS);
  });
});

describe.each(STOMP_SPEAKERS.flatMap((requester) => RESPONDERS.map((responder) => ({ requester, responder }))))(
  '$requester.name with temporary destinations asks $responder.name',
  ({ requester: asking, responder: answering }) => {
    it.each(['/temp-queue/answers', '/temp-topic/answers'])(
      'and gets the answers on %s, which nobody else can reach by its name',
      (place) => {
        const world = new StompWorld();
        const [requester, other] = [asking.connect(world, 'requester'), asking.connect(world, 'other')];
        const responder = answering.connect(world, 'responder');
        responder.subscribe(responder.queue('service'));
        requester.subscribe(place);
        other.subscribe(place);
        for (const [i, correlationId] of IDS.entries()) {
          requester.publish(requester.queue('service'), String(20 + i), { replyTo: place, correlationId });
          other.publish(other.queue('service'), String(100 + i), { replyTo: place, correlationId });
        }
        expect(respond(responder)).toBe(4);
        expect(requester.receive().map(({ payload, correlationId }) => [payload.toString(), correlationId])).toEqual([
          ['40', IDS[0]],
          ['42', IDS[1]],
        ]);
        expect(other.receive().map(({ payload }) => payload.toString())).toEqual(['200', '202']);
      },
    );
  },
);

describe.each(RESPONDERS)('MQTT 5 with the response information of its CONNACK asks $name', (answering) => {
  it('and gets the answers below that prefix', () => {
    const world = new StompWorld();
    const requester = new MqttClient(world);
    requester.send({ ...CONNECT, properties: properties({ requestResponseInformation: true }) });
    const [connack] = requester.receive();
    if (connack?.type !== PacketType.CONNACK) throw new Error(`no CONNACK: ${JSON.stringify(connack)}`);
    const prefix = connack.properties.responseInformation;
    expect(prefix).toBe('$reply/asking/');
    expect(requester.subscribe(`${prefix}#`, 1)[0]).toMatchObject({ reasonCodes: [1] });
    const responder = answering.connect(world, 'responder');
    responder.subscribe(responder.topic('service/double'));
    const responseTopic = `${prefix}answers/1`;
    requester.publish('service/double', '21', { properties: properties({ responseTopic, correlationData: IDS[1]! }) });
    expect(respond(responder)).toBe(1);
    const [answer] = requester.messages();
    expect(answer?.topic).toBe(responseTopic);
    expect(Buffer.from(answer?.payload ?? []).toString()).toBe('42');
    expect(Buffer.from(answer?.properties.correlationData ?? [])).toEqual(IDS[1]);
  });
});

const CONNECT = {
  type: PacketType.CONNECT,
  protocolVersion: ProtocolVersion.V5,
  bridge: false,
  clean: true,
  keepAliveS: 0,
  clientId: 'asking',
  will: null,
  username: null,
  password: null,
} as const;
