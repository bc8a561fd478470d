// What a simulation asks of a scripted client, whatever protocol it speaks.
export interface Actor {
  readonly name: string;
  /** Begins with what its plan says. */
  start(): void;
  /** No more faults and nothing new: it comes back if it has a session to come back to, and finishes what it began. */
  heal(): void;
  /** Nothing is under way. */
  readonly quiet: boolean;
  /** What is not as it should be when everything is quiet, as [rule, text]. */
  leftovers(): readonly (readonly [rule: string, text: string])[];
  /** Ends its session and goes for good. */
  finish(): void;
  readonly finished: boolean;
}
