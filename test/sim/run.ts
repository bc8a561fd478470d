import { simulate } from './simulation.ts';

const from = Number(process.argv[2] ?? 1),
  n = Number(process.argv[3] ?? 10);
const tolerated = new Set((process.argv[4] ?? '').split(','));
const avoid = new Set((process.argv[5] ?? '').split(','));
const t = performance.now();
let bad = 0;
let ev = 0,
  sent = 0,
  vms = 0;
const rules = new Map<string, number[]>();
for (let s = from; s < from + n; s++) {
  const r = await simulate(s, { tolerated, avoid, trace: n === 1 });
  ev += r.events;
  sent += r.sent;
  vms += r.virtualMs;
  if (r.violations.length > 0) {
    bad++;
    for (const v of r.violations.slice(0, 1)) {
      const l = rules.get(v.rule) ?? [];
      if (l.length === 0) console.log(s, v.rule, v.text, '@', v.atMs);
      l.push(s);
      rules.set(v.rule, l);
    }
  }
  if (n === 1) {
    for (const l of r.trace) console.log(l);
    console.log({ ...r, trace: 0 });
  }
}
console.log(ev / n, 'events', sent / n, 'sent', vms / n, 'virtual ms');
console.log(bad, 'bad of', n, (performance.now() - t) / n, 'ms per seed');
for (const [k, v] of rules) console.log(k, v.length, v.slice(0, 8).join());
