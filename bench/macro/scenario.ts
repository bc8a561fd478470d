// A scenario of the macro benchmark: one load plan, run alike against every broker that can do what it needs. The
// scenarios themselves stand in the other files of this folder, one group each, and scenarios.ts lists them.

import type { Capability } from '../lib/brokers/broker.ts';
import type { LoadPlan } from '../lib/load/plan.ts';

export interface Scenario {
  /** As in `--only` and in the tables. */
  readonly name: string;
  /** One line for a reader of the results. */
  readonly title: string;
  readonly needs: readonly Capability[];
  readonly plan: Partial<LoadPlan>;
}
