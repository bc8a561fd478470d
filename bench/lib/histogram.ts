// A histogram of durations in microseconds with a relative error below 0.8 %, after the idea of HdrHistogram: buckets
// are linear inside an octave (128 steps each) and the octaves double, so that a value finds its bucket by one count of
// leading zeros. It relies on nothing. It never allocates while recording and never refuses a value: one past the last
// bucket (2^32 - 1 µs, 71 minutes) does not exist in unsigned 32 bits.
//
//   value        0 ... 255      256 ... 511      512 ... 1023       ...   2^31 ... 2^32-1
//   step             1              2                4                        2^24
//   bucket       0 ... 255      256 ... 383      384 ... 511        ...   3200 ... 3327

const stepsPerOctaveLog2 = 7;
const stepsPerOctave = 1 << stepsPerOctaveLog2;
const bucketCount = (32 - stepsPerOctaveLog2 - 1) * stepsPerOctave + 2 * stepsPerOctave;

/** What a histogram says in a report; durations in microseconds. */
export interface LatencySummary {
  count: number;
  p50: number;
  p90: number;
  p99: number;
  p999: number;
  max: number;
}

export class Histogram {
  private readonly buckets = new Float64Array(bucketCount);
  private recordedCount = 0;
  private highestUs = 0;

  get count(): number {
    return this.recordedCount;
  }

  get maxUs(): number {
    return this.highestUs;
  }

  /** Records one duration; `valueUs` is an unsigned 32-bit integer. */
  record(valueUs: number): void {
    const shift = valueUs < stepsPerOctave * 2 ? 0 : 31 - stepsPerOctaveLog2 - Math.clz32(valueUs);
    const bucket = shift * stepsPerOctave + (valueUs >>> shift);
    this.buckets[bucket] = this.buckets[bucket]! + 1;
    this.recordedCount++;
    if (valueUs > this.highestUs) this.highestUs = valueUs;
  }

  /** The value below or at which `fraction` (0 to 1) of the recorded durations lie: the middle of its bucket. */
  quantile(fraction: number): number {
    if (this.recordedCount === 0) return 0;
    const rank = Math.max(1, Math.ceil(fraction * this.recordedCount));
    let seen = 0;
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      seen += this.buckets[bucket]!;
      if (seen >= rank) return Math.min(middleOf(bucket), this.highestUs);
    }
    return this.highestUs;
  }

  merge(other: Histogram): void {
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      this.buckets[bucket] = this.buckets[bucket]! + other.buckets[bucket]!;
    }
    this.recordedCount += other.recordedCount;
    this.highestUs = Math.max(this.highestUs, other.highestUs);
  }

  summary(): LatencySummary {
    return {
      count: this.recordedCount,
      p50: this.quantile(0.5),
      p90: this.quantile(0.9),
      p99: this.quantile(0.99),
      p999: this.quantile(0.999),
      max: this.highestUs,
    };
  }
}

function middleOf(bucket: number): number {
  if (bucket < stepsPerOctave * 2) return bucket;
  const shift = Math.floor(bucket / stepsPerOctave) - 1;
  const low = (bucket - shift * stepsPerOctave) * 2 ** shift;
  return low + (2 ** shift - 1) / 2;
}
