// What an operator can set about MQTT. Names, presets and reasons are in the configuration (mqtt.…, connection.…).

export interface MqttOptions {
  readonly keepAliveMaxS: number;
  /** Of the server: unanswered PUBLISH packets above QoS 0 that a client may send. */
  readonly receiveMaximum: number;
  /** Unacknowledged messages sent to a client at most, whatever it allows. */
  readonly inflightMax: number;
  readonly topicAliasMaximum: number;
  readonly maximumPacketSize: number;
  /** 0xffffffff: sessions may live for ever. */
  readonly sessionExpiryMaxS: number;
  readonly maximumQos: 0 | 1 | 2;
  readonly retainAvailable: boolean;
  readonly wildcardSubscriptions: boolean;
  readonly sharedSubscriptions: boolean;
  readonly subscriptionIdentifiers: boolean;
  readonly validatePayloadFormat: boolean;
  /** A message that several subscriptions of a client match: one copy at the highest QoS, or one for each. */
  readonly overlappingSubscriptions: 'once' | 'each';
  /** Server Reference: every client is sent there instead of being let in; '' for none. */
  readonly serverReference: string;
  /** With a serverReference: for good (0x9D) instead of for now (0x9C). */
  readonly serverMoved: boolean;
  readonly levelsMax: number;
  readonly subscriptionsMax: number;
  readonly preAuthBytesMax: number;
}
