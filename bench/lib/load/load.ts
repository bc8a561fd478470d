// One run of the load: connect, warm up, measure, wait for what is owed, report. It decides which publisher sends when:
// in a closed loop each gets its share of the window that deliveries have freed, once per turn of the event loop; in an
// open loop each message has a due time, and is stamped with that, so that a stalled broker shows in the latencies
// instead of slowing the sender down. It relies on the endpoints for the bytes and never touches a socket itself.

import { Histogram } from '../histogram.ts';
import { cpuSecondsOf, descendantsOf, machineBusySeconds, readProcessTree } from '../process-figures.ts';
import { MqttChurner } from './churn.ts';
import { Deliveries } from './inbox.ts';
import { Layout } from './layout.ts';
import { type Endpoint, Link, OutBuffer, ReadArena, WebSocketLink } from './link.ts';
import { MqttPublisher, MqttSubscriber, mqttFarewell } from './mqtt.ts';
import { nowUs } from './payload.ts';
import { answered, type LoadPlan, type LoadReport, type Phase } from './plan.ts';
import type { Publisher, Shared, Supervisor } from './publisher.ts';
import { StompPublisher, StompSubscriber, stompFarewell } from './stomp.ts';

/** Connections opened at the same time; more overflow the listen backlog of some brokers. */
const connectingMax = 50;
const connectTimeoutMs = 30_000;
/** For each topic, on top: a million subscriptions take their time. */
const subscribeTimeoutMs = 0.1;
const warmupPollMs = 50;
/** Between the last subscription and the first message. */
const settleMs = 100;
/** A closed loop without a delivery for this long writes off what is missing. */
const stallMs = 1000;
/** What is owed is given up when nothing arrives for this long. */
const drainQuietMs = 2000;
/** An open loop that has longer to wait than this sleeps by timer instead of polling. */
const sleepFromUs = 3000;
/** Around the payload in a frame: topic, headers, and what a broker may add to a STOMP message. */
const frameOverheadMax = 8192;

interface Subscriber extends Endpoint {
  link: Link;
}

/** The counters at one moment. */
interface Snapshot {
  atMs: number;
  published: number;
  received: number;
  brokerCpuSeconds: number;
  generatorCpuSeconds: number;
  machineSeconds: number;
}

export class Load implements Supervisor {
  private readonly plan: LoadPlan;
  private readonly onPhase: (phase: Phase) => void;
  private readonly shared: Shared;
  private readonly publishers: Publisher[] = [];
  private readonly subscribers: Subscriber[] = [];
  private readonly churners: MqttChurner[] = [];
  private readonly subscribersOfWindow: number[][];
  private failure = '';
  private readyCount = 0;
  private onReadyCount: (() => void) | null = null;

  private running = false;
  private scheduled = false;
  /** Closed loop: publishers that may send as soon as the window allows, those served longest ago first. */
  private waiting: Publisher[] = [];
  private served: Publisher[] = [];
  private turnNumber = 0;
  /** By window: sent, written off by a stall, room in the window as of a turn, progress and when it last changed. */
  private readonly sent: Float64Array;
  private readonly writtenOff: Float64Array;
  private readonly room: Float64Array;
  private readonly roomTurn: Float64Array;
  private readonly progress: Float64Array;
  private readonly progressAtMs: Float64Array;
  private stalls = 0;

  /** Open loop. */
  private paceStartUs = 0;
  private dueCount = 0;
  private lateUsMax = 0;
  /** The publisher being served, for dueUs. */
  private pacedPublisher = 0;

  /** `onPhase` is told when the measured time begins, when it has ended, and when the load ends. */
  constructor(plan: LoadPlan, onPhase: (phase: Phase) => void = () => undefined) {
    this.plan = plan;
    this.onPhase = onPhase;
    const layout = new Layout(plan);
    const tag = (Date.now() ^ (process.pid << 16)) & 0xffff;
    const deliveries = new Deliveries(plan, layout, (tag * 0x9e37_79b1) >>> 0);
    const tagText = tag.toString(16).padStart(4, '0');
    this.shared = { plan, layout, deliveries, supervisor: this, tagText, answers: new Histogram() };
    const windows = layout.windowCount;
    this.sent = new Float64Array(windows);
    this.writtenOff = new Float64Array(windows);
    this.room = new Float64Array(windows);
    this.roomTurn = new Float64Array(windows).fill(-1);
    this.progress = new Float64Array(windows);
    this.progressAtMs = new Float64Array(windows);
    this.subscribersOfWindow = Array.from({ length: windows }, () => []);
    const isMqtt = plan.protocol === 'mqtt';
    for (let index = 0; index < plan.subscribers; index++) {
      this.subscribers.push(isMqtt ? new MqttSubscriber(this.shared, index) : new StompSubscriber(this.shared, index));
      this.subscribersOfWindow[layout.windowOfSubscriber(index)]!.push(index);
    }
    for (let index = 0; index < plan.publishers; index++) {
      this.publishers.push(isMqtt ? new MqttPublisher(this.shared, index) : new StompPublisher(this.shared, index));
    }
    if (plan.changes > 0) this.churners.push(new MqttChurner(this.shared));
    const arena = new ReadArena(plan.payloadBytes + frameOverheadMax);
    const out = new OutBuffer(Math.max(plan.batchBytes, plan.payloadBytes + frameOverheadMax));
    for (const endpoint of [...this.subscribers, ...this.publishers, ...this.churners]) {
      endpoint.link =
        plan.transport === 'websocket'
          ? new WebSocketLink(arena, out, endpoint, plan.host, plan.path)
          : new Link(arena, out, endpoint);
    }
  }

  async run(): Promise<LoadReport> {
    await this.connect(this.subscribers);
    await this.connect(this.publishers);
    await this.connect(this.churners);
    await pause(settleMs);
    this.start();
    await this.warmUp();
    const { deliveries } = this.shared;
    const brokerPids = this.plan.brokerPid === 0 ? [] : descendantsOf(this.plan.brokerPid);
    deliveries.measuredFromUs = nowUs();
    deliveries.measuredUntilUs = 0xffff_ffff;
    this.onPhase('measuring');
    const before = this.snapshot(brokerPids);
    await pause(this.failure === '' ? this.plan.measureMs : 0);
    const after = this.snapshot(brokerPids);
    deliveries.measuredUntilUs = nowUs();
    const tree = this.plan.brokerPid === 0 ? null : readProcessTree(this.plan.brokerPid);
    this.onPhase('watching');
    await pause(this.failure === '' ? this.plan.watchMs : 0);
    this.onPhase('watched');
    this.running = false;
    await this.drain();
    for (const churner of this.churners) churner.stop();
    for (const endpoint of [...this.subscribers, ...this.publishers, ...this.churners]) {
      endpoint.link.close(this.plan.protocol === 'mqtt' ? mqttFarewell : stompFarewell);
    }
    return this.report(before, after, tree?.rssBytes ?? 0, tree?.rssPeakBytes ?? 0);
  }

  // What endpoints report.

  onReady(): void {
    this.readyCount++;
    this.onReadyCount?.();
  }

  onFailure(reason: string): void {
    if (this.failure === '') this.failure = reason;
    this.running = false;
    this.onReadyCount?.();
  }

  onProgress(): void {
    this.schedule();
  }

  onAvailable(publisher: Publisher): void {
    if (this.plan.rate > 0) return; // Every turn of an open loop looks at all who have something due.
    this.list(publisher);
    this.schedule();
  }

  private async warmUp(): Promise<void> {
    const { warmupMs, warmupMessages, warmupMsMax } = this.plan;
    const began = performance.now();
    await pause(warmupMs);
    while (this.failure === '' && this.totals().published < warmupMessages && performance.now() - began < warmupMsMax)
      await pause(warmupPollMs);
  }

  private async connect(endpoints: readonly (Endpoint & { link: Link })[]): Promise<void> {
    const readyBefore = this.readyCount;
    let opened = 0;
    const deadline = setTimeout(
      () => this.onFailure(`only ${this.readyCount} connections were ready in time`),
      connectTimeoutMs + this.plan.topics * subscribeTimeoutMs,
    );
    await new Promise<void>((resolve) => {
      const step = (): void => {
        if (this.failure !== '' || this.readyCount - readyBefore === endpoints.length) {
          this.onReadyCount = null;
          resolve();
          return;
        }
        while (opened < endpoints.length && opened - (this.readyCount - readyBefore) < connectingMax) {
          endpoints[opened++]!.link.open(this.plan.host, this.plan.port);
        }
      };
      this.onReadyCount = step;
      step();
    });
    clearTimeout(deadline);
  }

  private start(): void {
    if (this.failure !== '') return;
    this.running = true;
    this.progressAtMs.fill(performance.now());
    if (this.plan.rate > 0) this.paceStartUs = performance.now() * 1000;
    else for (const publisher of this.publishers) this.list(publisher);
    this.schedule();
    const stallCheck = setInterval(() => (this.running ? this.schedule() : clearInterval(stallCheck)), stallMs / 4);
  }

  private schedule(): void {
    if (this.scheduled || !this.running) return;
    this.scheduled = true;
    setImmediate(this.turn);
  }

  private readonly turn = (): void => {
    this.scheduled = false;
    if (!this.running) return;
    this.turnNumber++;
    if (this.plan.rate > 0) this.sendDue();
    else this.sendWindows();
  };

  // The closed loop.

  private list(publisher: Publisher): void {
    if (publisher.listed) return;
    publisher.listed = true;
    this.waiting.push(publisher);
  }

  private sendWindows(): void {
    const list = this.waiting;
    const served = this.served;
    const stampUs = nowUs();
    const share = this.share();
    let kept = 0;
    let hasMore = false;
    for (let index = 0; index < list.length; index++) {
      const publisher = list[index]!;
      const unanswered = publisher.inFlightMax - publisher.inFlight;
      if (!publisher.isOpen || publisher.link.blocked || unanswered <= 0) {
        publisher.listed = false; // Its answers or its socket put it back.
        continue;
      }
      const room = this.plan.window === 0 ? Number.POSITIVE_INFINITY : this.roomOf(publisher.windowIndex);
      if (room <= 0) {
        list[kept++] = publisher;
        continue;
      }
      const count = publisher.send(Math.min(unanswered, room, share), stampUs);
      this.sent[publisher.windowIndex] = this.sent[publisher.windowIndex]! + count;
      this.room[publisher.windowIndex] = this.room[publisher.windowIndex]! - count;
      if (room > count && unanswered > count && !publisher.link.blocked) hasMore = true;
      served.push(publisher);
    }
    // Who got nothing this time is first next time.
    list.length = kept;
    for (const publisher of served) list.push(publisher);
    served.length = 0;
    if (hasMore) this.schedule();
    else if (kept > 0) this.writeOffStalls();
  }

  /** What a window still takes in this turn. */
  private roomOf(window: number): number {
    if (this.roomTurn[window] !== this.turnNumber) {
      this.roomTurn[window] = this.turnNumber;
      const progress = this.progressOf(window);
      if (progress !== this.progress[window]) {
        this.progress[window] = progress;
        this.progressAtMs[window] = performance.now();
      }
      this.room[window] = this.plan.window - (this.sent[window]! - this.writtenOff[window]! - progress);
    }
    return this.room[window]!;
  }

  /** Nobody takes the whole window, so that all its publishers take part. */
  private share(): number {
    if (this.plan.window === 0) return Number.POSITIVE_INFINITY;
    const publishers = Math.ceil(this.plan.publishers / this.shared.layout.windowCount);
    return publishers === 1 ? this.plan.window : Math.max(1, Math.floor(this.plan.window / (publishers + 1)));
  }

  /** Messages that the slowest subscriber of a window has, or all together where each goes to one of them only. */
  private progressOf(window: number): number {
    const received = this.shared.deliveries.received;
    const members = this.subscribersOfWindow[window]!;
    const together = this.plan.competing || this.plan.mixed;
    let progress = together ? 0 : Number.POSITIVE_INFINITY;
    for (let index = 0; index < members.length; index++) {
      const count = received[members[index]!]!;
      if (together) progress += count;
      else if (count < progress) progress = count;
    }
    return progress;
  }

  private writeOffStalls(): void {
    const now = performance.now();
    for (let window = 0; window < this.sent.length; window++) {
      if (this.roomOf(window) > 0 || now - this.progressAtMs[window]! < stallMs) continue;
      this.writtenOff[window] = this.sent[window]! - this.progress[window]!;
      this.progressAtMs[window] = now;
      this.stalls++;
      this.schedule();
    }
  }

  // The open loop.

  private sendDue(): void {
    const { rate, tickUs } = this.plan;
    const elapsedUs = performance.now() * 1000 - this.paceStartUs;
    const due = Math.floor((Math.floor(elapsedUs / tickUs) * tickUs * rate) / 1e6);
    for (; this.dueCount < due; this.dueCount++) {
      const publisher = this.publishers[this.dueCount % this.publishers.length]!;
      publisher.credit++;
      if (publisher.listed) continue;
      publisher.listed = true;
      this.waiting.push(publisher);
    }
    const list = this.waiting;
    let kept = 0;
    for (let index = 0; index < list.length; index++) {
      const publisher = list[index]!;
      const unanswered = publisher.inFlightMax - publisher.inFlight;
      if (publisher.isOpen && !publisher.link.blocked && unanswered > 0) {
        this.pacedPublisher = publisher.index;
        const count = publisher.sendDue(Math.min(publisher.credit, unanswered), this.dueUs);
        this.sent[publisher.windowIndex] = this.sent[publisher.windowIndex]! + count;
        publisher.credit -= count;
      }
      if (publisher.credit > 0) list[kept++] = publisher;
      else publisher.listed = false;
    }
    list.length = kept;
    const waitUs = this.dueOf(this.dueCount) - elapsedUs;
    if (waitUs > sleepFromUs) {
      this.scheduled = true;
      setTimeout(this.turn, Math.floor(waitUs / 1000) - 1);
    } else this.schedule();
  }

  /** When the message with this ordinal among those of the publisher being served was due, as a stamp. */
  private readonly dueUs = (ordinal: number): number => {
    const dueUs = this.dueOf(ordinal * this.publishers.length + this.pacedPublisher) + this.paceStartUs;
    const lateUs = performance.now() * 1000 - dueUs;
    if (lateUs > this.lateUsMax) this.lateUsMax = lateUs;
    return Math.floor(dueUs) >>> 0;
  };

  /** Microseconds after the start at which the message with this ordinal is due: the end of its tick. */
  private dueOf(ordinal: number): number {
    const { rate, tickUs } = this.plan;
    return Math.ceil(((ordinal + 1) * 1e6) / rate / tickUs) * tickUs;
  }

  // The end.

  private async drain(): Promise<void> {
    const began = performance.now();
    let lastCount = -1;
    let lastChange = began;
    while (this.failure === '') {
      const unanswered = this.publishers.reduce((sum, publisher) => sum + publisher.inFlight, 0);
      const { received, lost } = this.totals();
      if (lost <= 0 && unanswered === 0) return;
      const now = performance.now();
      if (received - unanswered !== lastCount) {
        lastCount = received - unanswered;
        lastChange = now;
      }
      if (now - lastChange > drainQuietMs || now - began > this.plan.drainMs) return;
      await pause(10);
    }
  }

  private totals(): { published: number; received: number; lost: number } {
    const { deliveries, layout } = this.shared;
    let published = 0;
    let owed = 0;
    for (const publisher of this.publishers) {
      published += publisher.published;
      owed += publisher.published * layout.copiesIn(publisher.windowIndex);
    }
    const received = deliveries.received.reduce((sum, count) => sum + count, 0);
    return { published, received, lost: owed - (received - deliveries.ledger.duplicates) };
  }

  private snapshot(brokerPids: readonly number[]): Snapshot {
    const { published, received } = this.totals();
    const used = process.cpuUsage();
    return {
      atMs: performance.now(),
      published,
      received,
      brokerCpuSeconds: brokerPids.reduce((sum, pid) => sum + cpuSecondsOf(pid), 0),
      generatorCpuSeconds: (used.user + used.system) / 1e6,
      machineSeconds: machineBusySeconds(),
    };
  }

  private report(before: Snapshot, after: Snapshot, rssBytes: number, rssPeakBytes: number): LoadReport {
    const { deliveries, answers } = this.shared;
    const seconds = (after.atMs - before.atMs) / 1000;
    const brokerCpuSeconds = after.brokerCpuSeconds - before.brokerCpuSeconds;
    const generatorCpuSeconds = after.generatorCpuSeconds - before.generatorCpuSeconds;
    const machineSeconds = after.machineSeconds - before.machineSeconds;
    const received = after.received - before.received;
    const totals = this.totals();
    return {
      failure: this.failure,
      ...totals,
      duplicates: deliveries.ledger.duplicates,
      reordered: deliveries.reordered,
      corrupt: deliveries.corrupt,
      misrouted: deliveries.misrouted,
      stalls: this.stalls,
      seconds,
      publishedPerSecond: (after.published - before.published) / seconds,
      receivedPerSecond: received / seconds,
      brokerCpuSeconds,
      receivedPerCpuSecond: brokerCpuSeconds === 0 ? 0 : received / brokerCpuSeconds,
      brokerCores: brokerCpuSeconds / seconds,
      generatorCores: generatorCpuSeconds / seconds,
      otherCores: (machineSeconds - brokerCpuSeconds - generatorCpuSeconds) / seconds,
      latency: deliveries.latency.summary(),
      answer: answered(this.plan) ? answers.summary() : null,
      lateUsMax: Math.round(this.lateUsMax),
      rssBytes,
      rssPeakBytes,
    };
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
