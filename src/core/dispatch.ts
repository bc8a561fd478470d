// Hands a run on along its plan: to direct subscribers in the same call, into the log and to the queues. The one place where the order of these steps is decided: whoever may
// refuse is asked first, the log comes before the queues it numbers.
import { LogTargets } from '../storage/commit-log.ts';
import type { Broker } from './broker.ts';
import { type DeliveryPlan, LOGGED_AGAIN } from './delivery.ts';
import type { Run } from './run.ts';

/** Returns the log position after which the publisher may be told that the run is safe; 0 when nothing was logged. Says in run.refused why nobody got it. */
export function dispatch(run: Run, plan: DeliveryPlan, broker: Broker): number {
  if (plan.queues.length > 0) return dispatchToQueues(run, plan, broker);
  dispatchDirect(run, plan, broker);
  return 0;
}

function dispatchDirect(run: Run, plan: DeliveryPlan, broker: Broker): void {
  const { groups } = plan;
  let open = 0;
  for (let i = 0; i < groups.length; i++) {
    const group = groups[i]!;
    open += group.deliveryClass.deliver(run, group.targets);
  }
  // Nobody can take more at the moment: rather than to drop, the publisher waits. One open subscriber is enough to go on.
  if (open === 0 && run.publisher !== null && plan.queues.length === 0) broker.pauseUntilDrained(run.publisher);
}

// [MQTT-4.5.0-1], [3.1.1 MQTT-4.5.0-1], [3.1.1 MQTT-3.1.2-5] [MQTT-4.6.0-5], [3.1.1 MQTT-4.6.0-6] [MQTT-4.6.0-6], [3.1.1 MQTT-4.6.0-5]
function dispatchToQueues(run: Run, plan: DeliveryPlan, broker: Broker): number {
  const { queues, options, logged } = plan;
  const targets = run.persistent ? plan.targets : null;
  for (let i = 0; i < queues.length; i++) {
    if (queues[i]!.refuses(run)) {
      broker.counters.refusedQuota += run.count;
      run.refused = 'quota-exceeded';
      return 0;
    }
  }
  if (targets !== null && broker.full) {
    broker.counters.refusedQuota += run.count;
    run.refused = 'quota-exceeded';
    return 0;
  }
  if (plan.groups.length > 0) dispatchDirect(run, plan, broker);
  const owned = run.own();
  const { log } = broker;
  let position = 0;
  let firsts: number[] | null = null;
  if (targets !== null) {
    firsts = broker.sequences;
    for (let i = 0; i < targets.queues.length; i++) firsts[i] = targets.queues[i]!.nextSequence;
    position = log.append(owned, targets);
  }
  const held = position !== 0 && run.guarantee === 2 && position > log.durablePosition;
  for (let i = 0; i < queues.length; i++) {
    const queue = queues[i]!;
    let sequence = firsts === null || logged[i]! < 0 ? 0 : firsts[logged[i]!]!;
    if (firsts !== null && logged[i] === LOGGED_AGAIN) {
      // One more copy for the same queue: a record of its own, in the same unit.
      sequence = queue.log!.nextSequence;
      position = log.append(owned, new LogTargets([queue.log!], [options[i]!]));
    }
    if (sequence === 0 && queue.spilled) {
      if (broker.full) {
        // What is left of the disk is for settlements.
        broker.counters.droppedOverflow += run.count;
        continue;
      }
      // The queue goes on in the log: a transient message has to follow there, or it would overtake.
      sequence = queue.log!.nextSequence;
      log.append(owned, new LogTargets([queue.log!], [options[i]!]));
    }
    const tag = queue.deliver(owned, options[i]!, sequence, held);
    if (held) broker.holdUntilDurable(position, queue, tag, owned.count);
  }
  if ((position !== 0 || broker.memoryHigh) && run.publisher !== null) broker.slowDown(run.publisher);
  return position;
}
