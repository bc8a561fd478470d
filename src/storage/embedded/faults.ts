// Bugs to order. The crash campaign (test/sim/crash-images.ts) is only worth something if it notices when the engine is wrong, so each of these makes the engine wrong
// in one way, and a test checks that the campaign catches every one. Nothing but tests passes anything else than NO_FAULTS.

export interface Faults {
  /** A frame counts as durable when it is handed to the writer. */
  readonly confirmBeforeSync: boolean;
  /** Directories are never synced. */
  readonly skipDirectorySync: boolean;
  /** A frame is taken for valid without looking at its CRC. */
  readonly skipCrcCheck: boolean;
  /** A failed write or sync is tried again, and the second answer believed. */
  readonly retryAfterError: boolean;
  /** A checkpoint is put in place before what it contains is durable. */
  readonly checkpointBeforeSync: boolean;
  /** A segment goes as soon as nothing in it is live. */
  readonly freeBeforeCheckpoint: boolean;
  /** Frames of an earlier use of a segment are taken for valid. */
  readonly acceptStaleFrames: boolean;
  /** A unit of several frames counts although its end is missing. */
  readonly acceptUnfinishedUnits: boolean;
  /** Compaction brings back what was settled. */
  readonly forgetSettledOnCompaction: boolean;
  /** After an unclean stop the tail is trusted as the page cache shows it. */
  readonly skipTailCopy: boolean;
  /** A frame that needs no sync is forgotten by the next one that does. */
  readonly forgetUnsynced: boolean;
  /** Settlements are written outside the unit they belong to, ahead of it. */
  readonly settleAhead: boolean;
  /** A frame says that the one before it was synced although both are in one write. */
  readonly claimSynced: boolean;
}

export const NO_FAULTS: Faults = Object.freeze({
  confirmBeforeSync: false,
  skipDirectorySync: false,
  skipCrcCheck: false,
  retryAfterError: false,
  checkpointBeforeSync: false,
  freeBeforeCheckpoint: false,
  acceptStaleFrames: false,
  acceptUnfinishedUnits: false,
  forgetSettledOnCompaction: false,
  skipTailCopy: false,
  forgetUnsynced: false,
  settleAhead: false,
  claimSynced: false,
});

export function withFault(name: keyof Faults): Faults {
  return { ...NO_FAULTS, [name]: true };
}
