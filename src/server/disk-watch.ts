// Has the storage look at its disk once a second, and tells the operator when it is full and when it is not any more: what stops, what goes on, and what helps. Whether it
// is full the storage decides; that publishers are refused is the broker's business.
import type { Logger } from '../io/logger.ts';
import type { Storage } from '../storage/storage.ts';

/** Ticks come ten times a second. */
const TICKS_PER_LOOK = 10;
/** While the disk stays full it is said again this often. */
const LOOKS_PER_REMINDER = 60;

type WatchedStorage = Pick<Storage, 'full' | 'space' | 'checkSpace'>;

export class DiskWatch {
  private readonly storage: WatchedStorage;
  private readonly logger: Logger;
  private readonly directory: string;
  private full = false;
  private ticks = 0;
  private looksWhileFull = 0;

  constructor(storage: WatchedStorage, directory: string, logger: Logger) {
    this.storage = storage;
    this.directory = directory;
    this.logger = logger;
  }

  tick(): void {
    if (this.ticks++ % TICKS_PER_LOOK === 0) {
      this.storage.checkSpace?.();
      if (this.full && ++this.looksWhileFull % LOOKS_PER_REMINDER === 0) this.sayFull();
    }
    if (this.storage.full === this.full) return;
    this.full = this.storage.full;
    if (this.full) {
      this.looksWhileFull = 0;
      this.sayFull();
    } else this.logger.info(this.fields(), 'the disk has room again: publishers go on');
  }

  private sayFull(): void {
    this.logger.error(
      { ...this.fields(), settings: ['disk.freeLimitBytes', 'disk.freeLimitShare'] },
      'the disk is full: publishers of what has to be stored are refused, consumers go on; free space on the file system of the data directory, let consumers empty their queues, or lower the limits',
    );
  }

  private fields() {
    const { space } = this.storage;
    return { dataDir: this.directory, freeBytes: space?.freeBytes ?? -1, neededBytes: space?.neededBytes ?? -1 };
  }
}
