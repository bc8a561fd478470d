// Share groups: a durable queue for each group and filter, under a name that every protocol gives it, so that a group may have members of several. It ends with its last member, where a
// session that is away is a member, too. Members that are connections are gone after a restart and need a while to come back; the queue waits for them.
import type { Queue } from './queue.ts';
import type { Vhost } from './vhost.ts';

export const SHARE_PREFIX = '$share/';

/** After a restart: longer than any client takes to come back. */
export const SHARE_GRACE_MS = 600_000;

export function isShare({ name }: Queue): boolean {
  return name.startsWith(SHARE_PREFIX);
}

/** Deletes the queue of a group when it has no member left. */
export function dropUnusedShare(vhost: Vhost, queue: Queue): void {
  if (queue.deleted || queue.consumerCount > 0) return;
  for (const session of vhost.sessions.values()) {
    for (const subscription of session.subscriptions.values()) if (subscription.queue === queue) return;
  }
  vhost.deleteQueue(queue);
}

/** The same for every group. */
export function dropUnusedShares(vhost: Vhost): void {
  const unused = new Set<Queue>();
  for (const queue of vhost.queues.values()) if (isShare(queue) && queue.consumerCount === 0) unused.add(queue);
  if (unused.size === 0) return;
  for (const session of vhost.sessions.values()) {
    for (const { queue } of session.subscriptions.values()) if (queue !== null) unused.delete(queue);
  }
  for (const queue of unused) vhost.deleteQueue(queue);
}
