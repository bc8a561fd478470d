// MQTT.js as the tests use it: nothing is lost between connecting and listening, every wait has an end, and nothing reconnects unless asked to.
import mqtt, {
  type IClientOptions,
  type IClientPublishOptions,
  type IClientSubscribeOptions,
  type IConnackPacket,
  type IDisconnectPacket,
  type IPublishPacket,
  type ISubscriptionGrant,
  type MqttClient,
  type Packet,
} from 'mqtt';
import { Inbox, inTime } from './inbox.ts';
import type { Ending } from './real-broker.ts';

export type { IClientOptions, IPublishPacket };

/** MQTT 3.1, 3.1.1 and 5.0 as MQTT.js asks for them. */
export const V31 = { protocolId: 'MQIsdp', protocolVersion: 3 } as const;
export const V311 = { protocolId: 'MQTT', protocolVersion: 4 } as const;
export const V5 = { protocolId: 'MQTT', protocolVersion: 5 } as const;

function answering(answer: (challenge: Buffer) => Buffer): MqttClient['handleAuth'] {
  return ({ properties }, callback) => {
    const { authenticationMethod = '', authenticationData = Buffer.alloc(0) } = properties ?? {};
    const authenticationAnswer = answer(authenticationData);
    callback(undefined, {
      cmd: 'auth',
      reasonCode: 0x18,
      properties: { authenticationMethod, authenticationData: authenticationAnswer },
    });
  };
}

export class MqttJs implements Ending {
  readonly client: MqttClient;
  /** What was published to it. */
  readonly messages = new Inbox<IPublishPacket>(
    (packet) => `${packet.topic} ${packet.payload.toString().slice(0, 60)}`,
  );
  /** One for each time it was connected. */
  readonly connacks = new Inbox<IConnackPacket>((packet) => `CONNACK ${packet.returnCode ?? packet.reasonCode}`);
  readonly disconnects = new Inbox<IDisconnectPacket>((packet) => `DISCONNECT ${packet.reasonCode}`);
  /** Everything else the broker sent. */
  readonly packets = new Inbox<Packet>((packet) => packet.cmd);
  readonly closed = new Inbox<'closed'>();
  readonly errors = new Inbox<Error>((error) => error.message);

  private constructor(url: string, options: IClientOptions, answer?: (challenge: Buffer) => Buffer) {
    this.client = mqtt.connect(url, { reconnectPeriod: 0, connectTimeout: 10_000, resubscribe: false, ...options });
    if (answer !== undefined) this.client.handleAuth = answering(answer);
    // The packet's own topic is empty where an alias stood for it.
    this.client.on('message', (topic, _payload, packet) => this.messages.put({ ...packet, topic }));
    this.client.on('connect', (packet) => this.connacks.put(packet));
    this.client.on('disconnect', (packet) => this.disconnects.put(packet));
    this.client.on('packetreceive', (packet) => this.packets.put(packet));
    this.client.on('close', () => this.closed.put('closed'));
    this.client.on('error', (error) => this.errors.put(error));
  }

  /** Connects, and gives the broker's answer as well. Rejects with what the broker refused it with. `answer`: to the challenge of an enhanced authentication. */
  static async connect(
    url: string,
    options: IClientOptions = {},
    answer?: (challenge: Buffer) => Buffer,
  ): Promise<MqttJs & { readonly connack: IConnackPacket }> {
    const client = new MqttJs(url, options, answer);
    try {
      const refused = new Promise<never>((_resolve, reject) => client.client.once('error', reject));
      const connack = await inTime('CONNACK', Promise.race([client.connacks.next('CONNACK'), refused]));
      return Object.assign(client, { connack });
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /** The QoS granted for each filter, or the reason why it was refused. */
  async subscribe(filter: string | string[], options: IClientSubscribeOptions = { qos: 0 }): Promise<number[]> {
    const granted: ISubscriptionGrant[] = await inTime(
      `SUBACK for ${filter}`,
      this.client.subscribeAsync(filter, options),
    );
    return granted.map(({ qos }) => qos);
  }

  /** Resolves when the exchange is complete: written for QoS 0, PUBACK, PUBCOMP. */
  async publish(topic: string, payload: string | Buffer, options: IClientPublishOptions = {}): Promise<void> {
    await inTime(`the answer to a publish to ${topic}`, this.client.publishAsync(topic, payload, options));
  }

  /** The next message as text: 'topic payload'. */
  async nextText(): Promise<string> {
    const packet = await this.messages.next('a message');
    return `${packet.topic} ${packet.payload.toString()}`;
  }

  async nextTexts(count: number): Promise<string[]> {
    return (await this.messages.take(count, 'messages')).map(
      (packet) => `${packet.topic} ${packet.payload.toString()}`,
    );
  }

  /** The connection is gone without a word. */
  drop(): void {
    this.client.stream.destroy();
  }

  /** DISCONNECT, and the connection closed. */
  async disconnect(): Promise<void> {
    await inTime('DISCONNECT', this.client.endAsync());
  }

  async close(): Promise<void> {
    await inTime('MQTT.js to end', this.client.endAsync(true));
  }
}
