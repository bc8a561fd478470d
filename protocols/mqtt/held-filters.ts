// Which session holds what only one may hold, and how many hold what ends with its last holder: `$exclusive/<filter>`, and the queues behind `$share/<group>/<filter>`. One table for a
// broker; the core does not know who counts.

import type { Queue } from '../../src/core/queue.ts';
import type { Session } from '../../src/core/session.ts';
import { SHARE_PREFIX } from '../../src/core/share-group.ts';
import type { Vhost } from '../../src/core/vhost.ts';

export const EXCLUSIVE_PREFIX = '$exclusive/';

export class HeldFilters {
  private readonly holders = new Map<string, Session>();
  private readonly members = new Map<Queue, number>();

  /** The session holds the filter from now on; false when another one does. */
  hold(session: Session, filter: string): boolean {
    const key = `${session.vhostName}\0${filter}`;
    const holder = this.holders.get(key);
    if (holder !== undefined && holder !== session) return false;
    this.holders.set(key, session);
    session.exclusive ??= new Set();
    session.exclusive.add(filter);
    return true;
  }

  release(session: Session, filter: string): void {
    if (session.exclusive?.delete(filter) === true) this.holders.delete(`${session.vhostName}\0${filter}`);
  }

  join(queue: Queue): void {
    this.members.set(queue, (this.members.get(queue) ?? 0) + 1);
  }

  /** One subscription less; the queue of a share group ends with its last. */
  leave(vhost: Vhost, queue: Queue): void {
    const left = (this.members.get(queue) ?? 1) - 1;
    if (left > 0) {
      this.members.set(queue, left);
      return;
    }
    this.members.delete(queue);
    // The group may have members of another protocol, who consume its queue: theirs is the last word then.
    if (queue.consumerCount === 0) vhost.deleteQueue(queue);
  }

  /** The session ends, its subscriptions are still known. */
  releaseAll(vhost: Vhost, session: Session): void {
    for (const filter of [...(session.exclusive ?? [])]) this.release(session, filter);
    for (const { filter, queue } of session.subscriptions.values()) {
      if (queue !== null && filter.startsWith(SHARE_PREFIX)) this.leave(vhost, queue);
    }
  }
}
