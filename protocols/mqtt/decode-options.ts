// What the decoder must be told besides the bytes: who sent them, and how many parts one packet may have.
import { Sender } from './packet-type.ts';
import type { PropertyLimits } from './properties.ts';

export interface DecodeOptions extends PropertyLimits {
  /** Who sent the bytes; packets, codes and properties that only the other side may send are errors. */
  readonly sender: Sender;
  /** Take protocol levels 0x83 and 0x84, with which mosquitto's bridges ask to be treated as bridges. Otherwise an unsupported version. */
  readonly bridgeLevels: boolean;
  /** Filters of one SUBSCRIBE or UNSUBSCRIBE, and codes of their answers. */
  readonly filtersMax: number;
}

/** A User Property takes as little as 5 bytes on the wire and a hundred in memory, so a packet may not bring any number of them. */
const USER_PROPERTIES_MAX = 1_000;
/** Clients that subscribe again after a reconnect name all their filters in one packet. */
const FILTERS_MAX = 10_000;

/** What a broker decodes with. */
export const FROM_CLIENT: DecodeOptions = Object.freeze({
  sender: Sender.CLIENT,
  bridgeLevels: false,
  userPropertiesMax: USER_PROPERTIES_MAX,
  subscriptionIdentifiersMax: FILTERS_MAX,
  filtersMax: FILTERS_MAX,
});

/** What a bridge decodes with. */
export const FROM_SERVER: DecodeOptions = Object.freeze({ ...FROM_CLIENT, sender: Sender.SERVER });

/** What a tool that reads both directions decodes with. */
export const FROM_EITHER: DecodeOptions = Object.freeze({ ...FROM_CLIENT, sender: Sender.EITHER });
