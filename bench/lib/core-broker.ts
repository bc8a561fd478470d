// The core alone, for benchmarks within one process: nobody is refused anything, and no limit is met.
import { ALLOW_ALL } from '../../src/core/authorizer.ts';
import { Broker } from '../../src/core/broker.ts';
import { Durability } from '../../src/storage/commit-log.ts';
import type { Storage } from '../../src/storage/storage.ts';

export function coreBroker(storage: Storage): Broker {
  return new Broker({
    storage,
    durability: Durability.Fsync,
    authorizer: ALLOW_ALL,
    limits: {
      retained: { countMax: 1000, bytesMax: 1_000_000 },
      sessionQueue: { lengthMax: 1_000_000, bytesMax: 1_000_000_000 },
      queuesMax: 100_000,
      logPendingBytesMax: 1_000_000_000,
    },
    principal: (name) => ({ name, policy: null }),
  });
}
