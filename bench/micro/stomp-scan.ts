// One stage alone: scanning SEND frames and writing MESSAGE frames. Prints nanoseconds per frame, best of several rounds. Run after a build.
import { FrameScanner, Scan } from '../../protocols/stomp/decoder.ts';
import {
  encodeHeaderBlock,
  encodeMessagePrefix,
  messageHeadBytes,
  messageTailBytes,
  writeMessageHead,
  writeMessageTail,
} from '../../protocols/stomp/encoder.ts';
import { Command, Version } from '../../protocols/stomp/frame.ts';
import { Header } from '../../protocols/stomp/headers.ts';

const ROUNDS = 12;
const FRAMES_PER_CHUNK = 300;
const CHUNKS_PER_ROUND = 1500;
const BODY = 'x'.repeat(100);

let sink = 0;

function report(name: string, work: () => number): void {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint();
    const count = work();
    const ns = Number(process.hrtime.bigint() - start) / count;
    if (ns < best) best = ns;
  }
  process.stdout.write(`${name.padEnd(64)} ${best.toFixed(1).padStart(8)} ns\n`);
}

function chunkOf(frame: string): Buffer {
  return Buffer.from(frame.repeat(FRAMES_PER_CHUNK));
}

function scanAll(frame: string, version: Version, perFrame: (scanner: FrameScanner) => number): () => number {
  const chunk = chunkOf(frame);
  const scanner = new FrameScanner();
  scanner.version = version;
  return () => {
    let count = 0;
    for (let c = 0; c < CHUNKS_PER_ROUND; c++) {
      let pos = 0;
      while (pos < chunk.length) {
        if (scanner.scan(chunk, pos, chunk.length) !== Scan.FRAME) throw new Error('the bench has a broken frame');
        if (scanner.command === Command.SEND) sink += perFrame(scanner);
        pos = scanner.frameEnd;
        count++;
      }
    }
    return count;
  };
}

const range = (scanner: FrameScanner) => scanner.headers.valueStart(scanner.headers.find(Header.destination));
const short = `SEND\ndestination:/topic/bench/0\ncontent-length:100\n\n${BODY}\0`;
const text = `SEND\ndestination:/topic/bench/0\n\n${BODY}\0`;
const receipt = `SEND\ndestination:/queue/bench-0\ncontent-length:100\npersistent:true\nreceipt:00042\n\n${BODY}\0`;
const many = `SEND\ndestination:/topic/bench/0\ncontent-type:application/json\ntrace-id:4bf92f3577b34da6\nuser:ann\\cx\nregion:zürich\ncontent-length:100\n\n${BODY}\0`;

report('SEND, destination, content-length, 100 B', scanAll(short, Version.V1_2, range));
report('SEND, destination, 100 B to NUL', scanAll(text, Version.V1_2, range));
report('SEND, + persistent, receipt', scanAll(receipt, Version.V1_2, range));
report('SEND, 6 headers, escapes and UTF-8', scanAll(many, Version.V1_2, range));
report('ACK', scanAll('ACK\nid:123456\n\n\0', Version.V1_2, range));
const destination = (scanner: FrameScanner) => scanner.headers.string(Header.destination)!.length;
report('SEND, and its destination as a string', scanAll(short, Version.V1_2, destination));

const block = encodeHeaderBlock(['destination', '/topic/bench/0'], Version.V1_2);
const prefix = encodeMessagePrefix('sub-0', Version.V1_2);
const body = Buffer.from(BODY);
const out = Buffer.alloc(64 * 1024);
report('MESSAGE, head and tail, 100 B', () => {
  const count = FRAMES_PER_CHUNK * CHUNKS_PER_ROUND;
  let at = 0;
  for (let tag = 1; tag <= count; tag++) {
    const size = messageHeadBytes(prefix, tag, false, false) + messageTailBytes(block.length, body.length);
    if (at + size > out.length) at = 0;
    at = writeMessageHead(out, at, prefix, tag, false, false);
    at = writeMessageTail(out, at, block, body, 0, body.length);
  }
  sink += at;
  return count;
});
if (sink === 0) throw new Error('nothing was measured');
