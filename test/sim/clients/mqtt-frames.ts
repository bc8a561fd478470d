// What the broker writes to an MQTT client, cut into packets.
import { FROM_SERVER } from '../../../protocols/mqtt/decode-options.ts';
import { decodePacket } from '../../../protocols/mqtt/decoder.ts';
import { headerBytes, readFrameLength, remainingLength } from '../../../protocols/mqtt/frame.ts';
import type { Packet } from '../../../protocols/mqtt/packet.ts';
import type { ProtocolVersion } from '../../../protocols/mqtt/packet-type.ts';
import type { FrameReader } from '../network.ts';

export interface MqttFrame {
  readonly packet: Packet;
  readonly bytes: number;
}

export class MqttFrames implements FrameReader<MqttFrame> {
  private readonly version: ProtocolVersion;
  private rest: Buffer | null = null;
  private offset = 0;

  constructor(version: ProtocolVersion) {
    this.version = version;
  }

  push(bytes: Buffer, onFrame: (frame: MqttFrame, endOffset: number) => void): void {
    const all = this.rest === null ? bytes : Buffer.concat([this.rest, bytes]);
    this.rest = null;
    let at = 0;
    while (at < all.length) {
      const length = readFrameLength(all, at, all.length);
      const end = length < 0 ? Number.POSITIVE_INFINITY : at + headerBytes(length) + remainingLength(length);
      if (end > all.length) {
        this.rest = all.subarray(at);
        return;
      }
      const packet = decodePacket(all, at, at + headerBytes(length), end, this.version, FROM_SERVER);
      this.offset += end - at;
      onFrame({ packet, bytes: end - at }, this.offset);
      at = end;
    }
  }
}
