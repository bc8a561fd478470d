// Who sends to which topic and who listens to it. A lane is one pair of publisher and topic, the unit in which sequence
// numbers count; a domain is a group of subscribers that listen to the same topics, the unit in which a closed loop
// counts its window, unless publishers send to all of them. It relies on the plan alone and holds nothing that changes while the load runs.
//
//   topics T, publishers P, subscribers M
//   T <= P: publisher i sends to topic i mod T                 lane = publisher, T or fewer publishers share a topic
//   T >  P: publisher i sends to the topics t ≡ i (mod P)      lane = topic, each has one publisher
//   T <= M: subscriber j listens to topic j mod T              domain = topic
//   T >  M: subscriber j listens to the topics t ≡ j (mod M)   domain = subscriber
//   wildcard: each subscriber listens to all topics            one domain
//   mixed: publisher i sends to the topics from i·T/P on, whoever listens to them; one window for all domains

import type { LoadPlan } from './plan.ts';

export class Layout {
  readonly laneCount: number;
  readonly domainCount: number;
  /** Groups of subscribers that a closed loop counts together: the domains, or all in one. */
  readonly windowCount: number;
  /** By lane: its domain, and its number among the lanes of that domain. */
  readonly laneDomain: Uint32Array;
  readonly laneLocal: Uint32Array;
  /** By domain: its lanes, and the subscribers that get a copy of each message. */
  readonly domainLaneCount: Uint32Array;
  readonly domainCopies: Uint32Array;
  private readonly plan: LoadPlan;

  constructor(plan: LoadPlan) {
    this.plan = plan;
    const { publishers, subscribers, topics } = plan;
    this.laneCount = Math.max(topics, publishers);
    this.domainCount = plan.wildcard || subscribers === 0 ? 1 : Math.min(topics, subscribers);
    this.windowCount = plan.mixed ? 1 : this.domainCount;
    this.laneDomain = new Uint32Array(this.laneCount);
    this.laneLocal = new Uint32Array(this.laneCount);
    this.domainLaneCount = new Uint32Array(this.domainCount);
    this.domainCopies = new Uint32Array(this.domainCount);
    for (let lane = 0; lane < this.laneCount; lane++) {
      const domain = this.topicOfLane(lane) % this.domainCount;
      this.laneDomain[lane] = domain;
      this.laneLocal[lane] = this.domainLaneCount[domain]!;
      this.domainLaneCount[domain] = this.domainLaneCount[domain]! + 1;
    }
    for (let subscriber = 0; subscriber < subscribers; subscriber++) {
      const domain = this.domainOfSubscriber(subscriber);
      this.domainCopies[domain] = plan.competing ? 1 : this.domainCopies[domain]! + 1;
    }
    if (topics > publishers && !plan.mixed && publishers % this.domainCount !== 0) {
      throw new Error('plan: with more topics than publishers, the groups of subscribers must divide the publishers');
    }
  }

  topicOfLane(lane: number): number {
    return this.plan.topics <= this.plan.publishers ? lane % this.plan.topics : lane;
  }

  lanesOfPublisher(publisher: number): Uint32Array {
    const { publishers, topics, mixed } = this.plan;
    if (mixed) {
      const first = Math.floor((publisher * topics) / publishers);
      const end = Math.floor(((publisher + 1) * topics) / publishers);
      return Uint32Array.from({ length: end - first }, (_, index) => first + index);
    }
    if (topics <= publishers) return Uint32Array.of(publisher);
    const lanes = new Uint32Array(Math.ceil((topics - publisher) / publishers));
    for (let index = 0; index < lanes.length; index++) lanes[index] = publisher + index * publishers;
    return lanes;
  }

  windowOfPublisher(publisher: number): number {
    return this.plan.mixed ? 0 : this.laneDomain[publisher]!;
  }

  windowOfSubscriber(subscriber: number): number {
    return this.plan.mixed ? 0 : this.domainOfSubscriber(subscriber);
  }

  /** Deliveries that one message of a window makes. */
  copiesIn(window: number): number {
    return this.plan.mixed ? 1 : this.domainCopies[window]!;
  }

  domainOfSubscriber(subscriber: number): number {
    return subscriber % this.domainCount;
  }

  /** The topics of a subscriber; empty means all of them, by wildcard. */
  topicsOfSubscriber(subscriber: number): number[] {
    if (this.plan.wildcard) return [];
    const found: number[] = [];
    for (let topic = this.domainOfSubscriber(subscriber); topic < this.plan.topics; topic += this.domainCount)
      found.push(topic);
    return found;
  }
}
