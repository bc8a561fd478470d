// What is alive in the heap of a broker that runs on Node: its garbage is collected on demand, from outside, through the inspector of its process, which it has to be started with (INSPECTED).
// Unlike resident memory this says what things cost, without what the collector has not given back yet.

import { WebSocket } from 'ws';
import type { BrokerProcess } from './brokers/process.ts';

/** For NODE_OPTIONS. */
export const INSPECTED = '--inspect=127.0.0.1:0';

export class Heap {
  private readonly socket: WebSocket;
  private lastId = 0;

  private constructor(socket: WebSocket) {
    this.socket = socket;
  }

  static async of(process: BrokerProcess): Promise<Heap> {
    const address = /^Debugger listening on (ws:\S+)$/m.exec(process.log())?.[1];
    if (address === undefined) throw new Error('the process was not started with an inspector');
    const socket = new WebSocket(address);
    await new Promise((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
    });
    return new Heap(socket);
  }

  /** Objects that are alive, and the memory behind their buffers where V8 owns it. */
  async usedBytes(): Promise<number> {
    // Twice: finalizers of the first run let go of more.
    await this.ask('HeapProfiler.collectGarbage');
    await this.ask('HeapProfiler.collectGarbage');
    const { usedSize } = (await this.ask('Runtime.getHeapUsage')) as { usedSize: number };
    return usedSize;
  }

  close(): void {
    this.socket.close();
  }

  private ask(method: string): Promise<unknown> {
    const id = ++this.lastId;
    return new Promise((resolve, reject) => {
      const onMessage = (data: Buffer): void => {
        const answer = JSON.parse(data.toString()) as { id?: number; result?: unknown };
        if (answer.id !== id) return;
        this.socket.off('message', onMessage);
        resolve(answer.result);
      };
      this.socket.on('message', onMessage);
      this.socket.once('close', () => reject(new Error('the inspector is gone')));
      this.socket.send(JSON.stringify({ id, method }));
    });
  }
}
