// What scripted clients of all protocols have around them.
import type { Transport } from '../../../src/io/transport.ts';
import type { Dice } from '../dice.ts';
import type { Oracle } from '../model/oracle.ts';
import type { Network } from '../network.ts';

export class ClientCounts {
  connects = 0;
  sent = 0;
  /** Connections dropped at a step of a handshake, by the packet that was not answered, or was just sent. */
  readonly droppedAt = new Map<string, number>();
  disconnects = 0;
  garbage = 0;
  halfOpen = 0;
  takeovers = 0;
  refusals = 0;
  aliasesSeen = 0;
  commits = 0;
  aborts = 0;
}

export interface Surroundings {
  readonly network: Network;
  readonly oracle: Oracle;
  readonly dice: Dice;
  readonly counts: ClientCounts;
  /** Situations to keep away from, because what the broker makes of them is known and hides the rest. */
  readonly avoid: ReadonlySet<string>;
  /** Where a new connection of this protocol is taken over. */
  accept(protocol: 'mqtt' | 'stomp', transport: Transport): void;
}
