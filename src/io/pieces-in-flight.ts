// The pieces a stream has been given and not yet reported as written, oldest first. Serves sockets that call back once per write: every write gets the
// same callback (onWritten), so a write costs no closure. When the stream says that nothing is waiting any more, releaseAll() gives all pieces back at
// once and the callbacks that are still to come only count up to where the release already is. Relies on callbacks coming in the order of the writes.
import type { Output, Piece } from './output.ts';

/** Released places at the front of the array are cut off from here on, when they are the larger half. */
const RELEASED_PLACES_MAX = 1024;

export class PiecesInFlight {
  /** To be passed to every write, once per add(). */
  readonly onWritten: () => void;
  private readonly output: Output;
  private pieces: (Piece | null)[] = [];
  private head = 0;
  private writtenCount = 0;
  private releasedCount = 0;

  constructor(output: Output) {
    this.output = output;
    this.onWritten = () => {
      this.writtenCount++;
      // The counts part when releaseAll() was ahead of the callbacks.
      if (this.writtenCount > this.releasedCount) this.releaseOldest();
    };
  }

  get count(): number {
    return this.pieces.length - this.head;
  }

  add(piece: Piece): void {
    this.pieces.push(piece);
  }

  /** Everything added up to now has left, or nothing will leave any more. */
  releaseAll(): void {
    // Giving back may lead to further writes on this very stream: those are not among what has left, and may themselves end up here again.
    const end = this.releasedCount + this.count;
    while (this.releasedCount < end) this.releaseOldest();
  }

  private releaseOldest(): void {
    const piece = this.pieces[this.head];
    if (piece === undefined || piece === null) return;
    this.pieces[this.head] = null;
    this.head++;
    this.releasedCount++;
    if (this.head === this.pieces.length) {
      // Mostly one; taking it out is cheaper than setting the length.
      while (this.pieces.length > 0) this.pieces.pop();
      this.head = 0;
    } else if (this.head >= RELEASED_PLACES_MAX && this.head * 2 > this.pieces.length) {
      this.pieces.splice(0, this.head);
      this.head = 0;
    }
    this.output.sent(piece);
  }
}
