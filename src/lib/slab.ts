// Many small byte strings that come and go, without an object each: pages of equal slots, one kind of page per size. A string is known by a handle, a small
// integer; its owner remembers the length. 1,000,000 strings of 150 bytes cost 160 MB in 10,000 objects.
//
//   page of 64-byte slots   [ string 1   | next free ─┐ | string 2   |  ◀┘ free  | fresh … ]
//
// A free slot holds the number of the next free one of its page. A page without strings is given back.

/** Longer strings are not for a slab. */
export const SLAB_BYTES_MAX = 2048;

const PAGE_BYTES = 16 * 1024;
const SLOTS_MAX = PAGE_BYTES / 16;
const NONE = 0xffff;

/** Slot sizes: 16 bytes apart up to 256, 64 up to 1024, 128 up to 2048. */
const SIZES: readonly number[] = (() => {
  const sizes: number[] = [];
  for (let size = 16; size < 256; size += 16) sizes.push(size);
  for (let size = 256; size < 1024; size += 64) sizes.push(size);
  for (let size = 1024; size <= SLAB_BYTES_MAX; size += 128) sizes.push(size);
  return sizes;
})();

function sizeIndex(length: number): number {
  if (length <= 256) return length === 0 ? 0 : (length - 1) >> 4;
  if (length <= 1024) return 15 + ((length - 193) >> 6);
  return 27 + ((length - 897) >> 7);
}

class Page {
  readonly bytes = new Uint8Array(PAGE_BYTES);
  readonly index: number;
  readonly slotBytes: number;
  readonly slots: number;
  used = 0;
  /** Slots from here on were never used. */
  fresh = 0;
  free = NONE;
  /** Its place among the pages of its size that have room; -1 when it has none. */
  openAt = -1;

  constructor(index: number, slotBytes: number) {
    this.index = index;
    this.slotBytes = slotBytes;
    this.slots = Math.floor(PAGE_BYTES / slotBytes);
  }
}

export class Slab {
  private readonly pages: (Page | null)[] = [];
  private readonly vacant: number[] = [];
  private readonly open: Page[][] = SIZES.map(() => []);
  private pageCount = 0;

  /** Memory held. */
  get bytes(): number {
    return this.pageCount * PAGE_BYTES;
  }

  /** Copies bytes[start, end), at most SLAB_BYTES_MAX of them, and returns the handle. */
  put(bytes: Uint8Array, start: number, end: number): number {
    const size = sizeIndex(end - start);
    const open = this.open[size]!;
    const page = open[open.length - 1] ?? this.addPage(size);
    let slot = page.free;
    if (slot === NONE) slot = page.fresh++;
    else page.free = page.bytes[slot * page.slotBytes]! | (page.bytes[slot * page.slotBytes + 1]! << 8);
    if (++page.used === page.slots) this.close(page, open);
    page.bytes.set(bytes.subarray(start, end), slot * page.slotBytes);
    return page.index * SLOTS_MAX + slot;
  }

  /** As free() and put() together. In the same slot where the lengths allow it, as the values of one topic mostly do: one alone in its page would have that made anew for each. */
  replace(handle: number, length: number, bytes: Uint8Array, start: number, end: number): number {
    if (sizeIndex(length) !== sizeIndex(end - start)) {
      this.free(handle, length);
      return this.put(bytes, start, end);
    }
    const page = this.pages[Math.floor(handle / SLOTS_MAX)]!;
    page.bytes.set(bytes.subarray(start, end), (handle % SLOTS_MAX) * page.slotBytes);
    return handle;
  }

  /** Copies the string of this handle to target, from `at` on. */
  copyTo(handle: number, length: number, target: Uint8Array, at: number): void {
    const page = this.pages[Math.floor(handle / SLOTS_MAX)]!;
    const start = (handle % SLOTS_MAX) * page.slotBytes;
    target.set(page.bytes.subarray(start, start + length), at);
  }

  /** The handle means nothing from now on. */
  free(handle: number, length: number): void {
    const page = this.pages[Math.floor(handle / SLOTS_MAX)]!;
    const slot = handle % SLOTS_MAX;
    const open = this.open[sizeIndex(length)]!;
    page.bytes[slot * page.slotBytes] = page.free & 0xff;
    page.bytes[slot * page.slotBytes + 1] = page.free >> 8;
    page.free = slot;
    page.used--;
    if (page.openAt < 0) {
      page.openAt = open.length;
      open.push(page);
    }
    if (page.used > 0) return;
    this.close(page, open);
    this.pages[page.index] = null;
    this.vacant.push(page.index);
    this.pageCount--;
  }

  private addPage(size: number): Page {
    const index = this.vacant.pop() ?? this.pages.length;
    const page = new Page(index, SIZES[size]!);
    this.pages[index] = page;
    const open = this.open[size]!;
    page.openAt = open.length;
    open.push(page);
    this.pageCount++;
    return page;
  }

  private close(page: Page, open: Page[]): void {
    const last = open.pop()!;
    if (last !== page) {
      open[page.openAt] = last;
      last.openAt = page.openAt;
    }
    page.openAt = -1;
  }
}
