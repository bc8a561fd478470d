// A scripted MQTT client on a pipe of the world: sends packet objects as bytes, gives back what came as packet objects.
import { FROM_SERVER } from '../../protocols/mqtt/decode-options.ts';
import { decode } from '../../protocols/mqtt/decoder.ts';
import { encode } from '../../protocols/mqtt/encoder.ts';
import { headerBytes, readFrameLength, remainingLength } from '../../protocols/mqtt/frame.ts';
import {
  type Connect,
  connect,
  type Packet,
  type Publish,
  properties,
  publish,
  type Subscription,
  subscribe,
  subscription,
} from '../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import type { Pipe, World } from './world.ts';

export class MqttClient {
  readonly pipe: Pipe;
  readonly version: ProtocolVersion;
  private readonly world: World;
  private rest = Buffer.alloc(0);
  private nextId = 1;
  /** Chunks of at most so many bytes. */
  chunkBytes = Number.POSITIVE_INFINITY;

  constructor(world: World, version: ProtocolVersion = ProtocolVersion.V5) {
    this.world = world;
    this.version = version;
    this.pipe = world.connect();
  }

  /** A client that is connected. */
  static connected(world: World, clientId: string, fields: Partial<Connect> = {}): MqttClient {
    const client = new MqttClient(world, fields.protocolVersion ?? ProtocolVersion.V5);
    client.send(connect({ clientId, ...fields }));
    const [connack] = client.receive();
    if (connack?.type !== PacketType.CONNACK || connack.reasonCode !== 0)
      throw new Error(`not connected: ${JSON.stringify(connack)}`);
    return client;
  }

  send(...packets: Packet[]): void {
    this.sendBytes(Buffer.concat(packets.map((packet) => encode(packet, this.version))));
  }

  sendBytes(bytes: Uint8Array): void {
    this.pipe.send(bytes, this.chunkBytes);
  }

  /** Ends the turn and gives what has come. */
  receive(): Packet[] {
    this.world.settle();
    this.rest = Buffer.concat([this.rest, this.pipe.taken()]);
    const packets: Packet[] = [];
    for (let at = 0; ; ) {
      const length = readFrameLength(this.rest, at, this.rest.length);
      const end = length < 0 ? Number.POSITIVE_INFINITY : at + headerBytes(length) + remainingLength(length);
      if (end > this.rest.length) {
        this.rest = this.rest.subarray(at);
        return packets;
      }
      packets.push(decode(Buffer.from(this.rest.subarray(at, end)), this.version, FROM_SERVER));
      at = end;
    }
  }

  /** Publishes only of what has come. */
  messages(): Publish[] {
    return this.receive().filter((packet) => packet.type === PacketType.PUBLISH);
  }

  /** Topics and payloads of what has come, as text. */
  texts(): string[] {
    return this.messages().map(({ topic, payload }) => `${topic} ${Buffer.from(payload).toString()}`);
  }

  subscribe(filter: string, qos: 0 | 1 | 2 = 0, fields: Partial<Subscription> = {}, identifier = 0): Packet[] {
    const props = identifier === 0 ? undefined : properties({ subscriptionIdentifiers: [identifier] });
    this.send(subscribe(this.nextId++, [subscription(filter, qos, fields)], props));
    return this.receive();
  }

  /** Consumes from a queue, which is made with room for one message, and refuses more. */
  consumeLimited(queue: string): void {
    const userProperties = ['x-max-length', '1', 'x-overflow', 'reject-publish'];
    this.send(subscribe(this.nextId++, [subscription(`$queue/${queue}`, 1)], properties({ userProperties })));
    this.receive();
  }

  publish(topic: string, payload: string, fields: Partial<Publish> = {}): void {
    const qos = fields.qos ?? 0;
    const packetId = qos === 0 ? 0 : (fields.packetId ?? this.nextId++);
    this.send(publish(topic, { payload: Buffer.from(payload), ...fields, packetId }));
  }

  hangUp(): void {
    this.pipe.hangUp();
    this.world.settle();
  }
}
