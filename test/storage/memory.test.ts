import { MemoryStorage } from '../../src/storage/memory/memory-storage.ts';
import { storageConformance } from './conformance.ts';

storageConformance(
  'memory',
  async () => ({
    create: () => new MemoryStorage(),
    until: async (ready) => {
      if (!ready()) throw new Error('the memory engine does everything within the call');
    },
    survives: false,
    dispose: () => Promise.resolve(),
  }),
  false,
);
