// What an operator can set about STOMP. Names, presets and reasons are in the configuration (stomp.…, connection.…).

export interface StompOptions {
  /** The shortest interval at which heart-beats are offered to clients; 0 offers none. */
  readonly heartBeatSendMs: number;
  /** The interval at which clients are asked for heart-beats; 0 asks for none. */
  readonly heartBeatReceiveMs: number;
  readonly frameBytesMax: number;
  readonly headersMax: number;
  readonly headerBytesMax: number;
  readonly bodyBytesMax: number;
  /** Refuses a host header that names no virtual host. */
  readonly strictHost: boolean;
  /** Unsettled messages of a subscription without prefetch-count; 0 is no limit. */
  readonly prefetchDefault: number;
  /** Levels the key of a destination may have. */
  readonly levelsMax: number;
  /** Subscriptions of one connection. */
  readonly subscriptionsMax: number;
  /** The largest frame before a client has said who it is. */
  readonly preAuthBytesMax: number;
}
