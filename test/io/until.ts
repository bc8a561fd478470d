// Waiting for something that the kernel or another party brings about, without guessing how long it takes.
const TIMEOUT_MS = 20_000;

/** Resolves when condition holds, looked at after every few milliseconds; rejects with `what` when it never does. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + TIMEOUT_MS;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** A few whole turns of the event loop: time for what was already on its way. */
export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** For callbacks that a test has no interest in. */
export const nothing = (): void => undefined;
