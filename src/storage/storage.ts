// An engine: a commit log and a state store over one sequence of atomic units. Implementations are sibling folders; test/storage/conformance.ts is their contract in
// executable form.
import type { Codec } from '../core/run.ts';
import type { CommitLog } from './commit-log.ts';
import type { StateStore } from './state-store.ts';

/** What recovery found, for the log and the operator. */
export interface RecoveryReport {
  readonly messages: number;
  readonly queues: number;
  readonly stateEntries: number;
  /** Bytes of an unfinished last unit that were cut off: normal after a crash, nothing in them was ever confirmed. */
  readonly tornTailBytes: number;
  /** Damaged places before the tail; each one is reported in the log with segment and position. */
  readonly damagedFrames: number;
  readonly durationMs: number;
}

export interface StorageListener {
  /** CommitLog.durablePosition has grown to `position`. */
  onDurable(position: number): void;
  /** Nothing will become durable any more. The broker stops confirming and the process ends. */
  onFailed(error: Error): void;
  /** Storage.full has changed. While it is full, publishers are refused or paused; consumers go on, and what they settle makes room. */
  onFull(full: boolean): void;
}

export interface Storage {
  readonly log: CommitLog;
  readonly state: StateStore;
  /**
   * Free space is below the limit. What is appended all the same is still stored as long as the reserve lasts, so that settlements and state always go through.
   */
  readonly full: boolean;
  /** Free space on the disk and what must be free, as far as the engine has a disk and has looked at it. */
  readonly space?: { readonly freeBytes: number; readonly neededBytes: number } | null;
  /** Looks at the disk again and tidies up what a resting engine does not need. The host calls it about once a second. */
  checkSpace?(): void;
  /** Recovers. Codecs are needed to make runs out of what was stored; a record of an unknown codec is an error. */
  open(codecs: ReadonlyMap<number, Codec>, listener: StorageListener): Promise<RecoveryReport>;
  /** Says now (onDurable) what has become durable, rather than in a later turn. Called before a unit ends: what follows from it is still part of the unit. */
  poll?(): void;
  /** Ends an atomic unit: what was appended since the last call belongs together. Called at the end of every turn that may have appended something. */
  endUnit(): void;
  /** Makes everything durable, then closes; closes all the same when the log fails or has failed, which only the listener is told. */
  close(): Promise<void>;
}
