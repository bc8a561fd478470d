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
  readonly levelsMax: number;
  readonly subscriptionsMax: number;
  readonly preAuthBytesMax: number;
}
