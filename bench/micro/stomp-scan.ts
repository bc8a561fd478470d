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

type FrameText = (index: number) => string;

function chunkOf(frame: FrameText): Buffer {
  let text = '';
  for (let i = 0; i < FRAMES_PER_CHUNK; i++) text += frame(i);
  return Buffer.from(text);
}

function scanAll(frame: FrameText, version: Version, perFrame: (scanner: FrameScanner) => number): () => number {
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
const destination = (scanner: FrameScanner) => scanner.headers.string(Header.destination)!.length;
const body = (headers: string) => `SEND\n${headers}\n${BODY}\0`;
const short: FrameText = () => body('destination:/topic/bench/0\ncontent-length:100\n');
const turns: FrameText = (i) => body(`destination:/topic/bench/${i % 10}\ncontent-length:100\n`);
const receipt: FrameText = (i) =>
  body(`destination:/queue/bench-0\ncontent-length:100\npersistent:true\nreceipt:${String(i).padStart(5, '0')}\n`);
const many = (i: number) =>
  body(
    `${i % 2 === 0 ? 'a:1\n' : ''}destination:/topic/bench/0\ncontent-type:application/json\ntrace-id:4bf92f3577b34da6\nuser:ann\\cx\nregion:zürich\ncontent-length:100\n`,
  );

report('SEND, destination, content-length, 100 B', scanAll(short, Version.V1_2, range));
report('SEND, the same, another destination each time', scanAll(turns, Version.V1_2, range));
report(
  'SEND, destination, 100 B to NUL',
  scanAll(() => body('destination:/topic/bench/0\n'), Version.V1_2, range),
);
report('SEND, persistent, another receipt each time', scanAll(receipt, Version.V1_2, range));
report('SEND, 6 or 7 headers, nothing like the frame before', scanAll(many, Version.V1_2, range));
report(
  'ACK',
  scanAll((i) => `ACK\nid:${123_456 + i}\n\n\0`, Version.V1_2, range),
);
report('SEND, and its destination as a string', scanAll(short, Version.V1_2, destination));

const block = encodeHeaderBlock(['destination', '/topic/bench/0'], Version.V1_2);
const prefix = encodeMessagePrefix('sub-0', Version.V1_2);
const content = Buffer.from(BODY);
const out = Buffer.alloc(64 * 1024);
report('MESSAGE, head and tail, 100 B', () => {
  const count = FRAMES_PER_CHUNK * CHUNKS_PER_ROUND;
  let at = 0;
  for (let tag = 1; tag <= count; tag++) {
    const size = messageHeadBytes(prefix, tag, false, false) + messageTailBytes(block.length, content.length);
    if (at + size > out.length) at = 0;
    at = writeMessageHead(out, at, prefix, tag, false, false);
    at = writeMessageTail(out, at, block, content, 0, content.length);
  }
  sink += at;
  return count;
});
if (sink === 0) throw new Error('nothing was measured');
