// What a client has received, in order, and a way to wait for more of it: every wait ends, by the thing itself or by an error that says what was expected and
// what came instead.

/** Generous: it only decides how long a test that fails takes. */
export const DEADLINE_MS = 15_000;

interface Waiter<T> {
  readonly matches: (item: T) => boolean;
  readonly resolve: (item: T) => void;
}

export class Inbox<T> {
  /** Whatever has come and nobody has taken, oldest first. */
  readonly waiting: T[] = [];
  private readonly describe: (item: T) => string;
  private readonly waiters: Waiter<T>[] = [];

  constructor(describe: (item: T) => string = (item) => String(item)) {
    this.describe = describe;
  }

  put(item: T): void {
    const index = this.waiters.findIndex(({ matches }) => matches(item));
    if (index < 0) this.waiting.push(item);
    else this.waiters.splice(index, 1)[0]?.resolve(item);
  }

  /** The oldest one, as soon as there is one. */
  next(what = 'anything'): Promise<T> {
    return this.find(what, () => true);
  }

  /** The oldest one that matches; the others stay. */
  find(what: string, matches: (item: T) => boolean): Promise<T> {
    const index = this.waiting.findIndex(matches);
    if (index >= 0) return Promise.resolve(this.waiting.splice(index, 1)[0] as T);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiters.splice(this.waiters.indexOf(waiter), 1);
        reject(new Error(`never came: ${what}; what came: [${this.waiting.map(this.describe).join(' | ')}]`));
      }, DEADLINE_MS);
      timer.unref();
      const waiter: Waiter<T> = {
        matches,
        resolve: (item) => {
          clearTimeout(timer);
          resolve(item);
        },
      };
      this.waiters.push(waiter);
    });
  }

  /** The oldest `count`, in order. */
  async take(count: number, what = 'as many'): Promise<T[]> {
    const items: T[] = [];
    while (items.length < count) items.push(await this.next(`${what} (${items.length} of ${count} came)`));
    return items;
  }
}

/** Rejects with `what` when the promise takes too long. */
export async function inTime<T>(what: string, promise: Promise<T>, deadlineMs = DEADLINE_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`took too long: ${what}`)), deadlineMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
