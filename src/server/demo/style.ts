// The demo page's style. Colours are variables, set for light and dark; the reader's choice on the page goes before the system's.

export const DEMO_STYLE = `:root {
  --ground: #f5f6f4; --surface: #ffffff; --line: #e2e6e2; --ink: #1b2320; --soft: #66716b; --code: #eef1ee;
  --mqtt: #0f766e; --mqtt-soft: #e0f2ef; --stomp: #a3540b; --stomp-soft: #fbeedd; --bad: #b42318; --good: #15803d;
}
@media (prefers-color-scheme: dark) { :root:not([data-theme=light]) {
  --ground: #111614; --surface: #19201d; --line: #2a332f; --ink: #e6ebe8; --soft: #94a09a; --code: #202925;
  --mqtt: #4fd1c0; --mqtt-soft: #14352f; --stomp: #f2b162; --stomp-soft: #3a2813; --bad: #ff8a7a; --good: #6ee7a0;
} }
:root[data-theme=dark] {
  --ground: #111614; --surface: #19201d; --line: #2a332f; --ink: #e6ebe8; --soft: #94a09a; --code: #202925;
  --mqtt: #4fd1c0; --mqtt-soft: #14352f; --stomp: #f2b162; --stomp-soft: #3a2813; --bad: #ff8a7a; --good: #6ee7a0;
}
:root[data-theme=light] { color-scheme: light; }
:root[data-theme=dark] { color-scheme: dark; }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
header, main { max-width: 1080px; margin: 0 auto; padding: 0 24px; }
header { display: flex; align-items: center; gap: 20px; padding-top: 20px; padding-bottom: 20px; }
.brand { display: flex; align-items: center; gap: 10px; font-weight: 650; font-size: 18px; letter-spacing: -0.01em; }
.brand img { display: block; }
.links { display: flex; gap: 8px; margin-left: auto; flex-wrap: wrap; }
.link { display: inline-flex; align-items: center; gap: 7px; padding: 4px 12px; border: 1px solid var(--line); border-radius: 99px; background: var(--surface); font-size: 13px; font-weight: 600; }
.link b { font-weight: 400; color: var(--soft); }
.link i { width: 8px; height: 8px; border-radius: 50%; background: var(--soft); }
.link[data-state=connected] i { background: var(--good); }
.link[data-state=connecting] i { animation: pulse 1.2s ease-in-out infinite; }
.link[data-state=disconnected] i, .link[data-state=refused] i { background: var(--bad); }
main { display: grid; gap: 20px; padding-bottom: 56px; }
main > * { min-width: 0; }
.intro { padding: 20px 0 4px; }
h1 { margin: 0 0 6px; font-size: 30px; line-height: 1.2; letter-spacing: -0.025em; font-weight: 680; }
h2 { margin: 0; font-size: 15px; font-weight: 650; letter-spacing: -0.005em; }
.intro p { margin: 0 0 14px; color: var(--soft); max-width: 62ch; }
code, .payload, .value, .topic, .where, #topic, #payload, #filter { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.command { display: inline-flex; align-items: center; gap: 12px; max-width: 100%; background: var(--code); border: 1px solid var(--line); border-radius: 10px; padding: 8px 8px 8px 14px; }
.command code { font-size: 13.5px; overflow-x: auto; white-space: nowrap; }
.card { background: var(--surface); border: 1px solid var(--line); border-radius: 14px; padding: 18px 20px; }
.card > h2 { margin-bottom: 12px; }
.title { display: flex; align-items: center; justify-content: space-between; gap: 16px; margin-bottom: 12px; flex-wrap: wrap; }
.fields { display: flex; flex-wrap: wrap; align-items: end; gap: 14px; }
label, legend { font-size: 12.5px; color: var(--soft); }
.fields > label:not(.check) { display: grid; gap: 4px; }
.fields .wide { flex: 1 1 190px; }
input:not([type=radio]):not([type=checkbox]) { width: 100%; padding: 8px 11px; font-size: 14px; color: var(--ink); background: var(--ground); border: 1px solid var(--line); border-radius: 9px; }
#subscribe input { width: 15ch; padding: 4px 9px; font-size: 13px; }
fieldset { border: 0; margin: 0; padding: 0; }
legend { padding: 0; margin-bottom: 4px; }
.choice label { display: inline-flex; align-items: center; color: var(--ink); font-size: 14px; padding: 7px 13px; border: 1px solid var(--line); cursor: pointer; }
.choice label:first-of-type { border-radius: 9px 0 0 9px; border-right: 0; }
.choice label:last-of-type { border-radius: 0 9px 9px 0; }
.choice input { position: absolute; opacity: 0; pointer-events: none; }
.choice label:has(:checked) { background: var(--mqtt-soft); color: var(--mqtt); font-weight: 600; }
.choice label:last-of-type:has(:checked) { background: var(--stomp-soft); color: var(--stomp); }
.choice label:has(:focus-visible) { outline: 2px solid var(--mqtt); outline-offset: 2px; }
.check { display: inline-flex; align-items: center; gap: 7px; color: var(--ink); font-size: 14px; padding: 8px 0; cursor: pointer; }
.check input { accent-color: var(--mqtt); width: 16px; height: 16px; margin: 0; }
button { font: inherit; font-weight: 600; padding: 8px 18px; border: 0; border-radius: 9px; background: var(--mqtt); color: var(--surface); cursor: pointer; }
button:hover { filter: brightness(1.08); }
button.quiet { background: transparent; color: var(--soft); font-weight: 500; padding: 4px 10px; font-size: 13px; }
button.quiet:hover { color: var(--ink); }
#theme { font-size: 17px; }
:focus-visible { outline: 2px solid var(--mqtt); outline-offset: 1px; }
.note { font-size: 13px; color: var(--soft); }
.note.bad { color: var(--bad); }
.values { display: grid; gap: 12px; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); }
.tile { border: 1px solid var(--line); border-radius: 11px; padding: 12px 14px; min-width: 0; }
.tile.fresh { animation: fresh 1.4s ease-out; }
.topic { font-size: 12px; color: var(--soft); overflow-wrap: anywhere; }
.value { font-size: 21px; font-weight: 600; letter-spacing: -0.02em; margin: 2px 0 4px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.when { font-size: 12px; color: var(--soft); display: flex; gap: 8px; align-items: center; }
.badge { font-size: 11px; font-weight: 600; padding: 1px 7px; border-radius: 99px; background: var(--code); color: var(--soft); }
.empty { margin: 4px 0; color: var(--soft); }
.feeds { display: grid; gap: 20px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 360px), 1fr)); }
.feed { --tint: var(--mqtt); border-top: 3px solid var(--tint); }
.feed[data-protocol=stomp] { --tint: var(--stomp); }
.count { font-variant-numeric: tabular-nums; font-size: 13px; color: var(--soft); }
ol { list-style: none; margin: 0; padding: 0; height: 300px; overflow-y: auto; }
li { padding: 7px 0; border-top: 1px solid var(--line); animation: arrive 0.25s ease-out; }
li:first-child { border-top: 0; }
.where { display: flex; gap: 8px; align-items: center; flex-wrap: wrap; font-size: 12px; color: var(--tint); overflow-wrap: anywhere; }
.where time { margin-left: auto; color: var(--soft); font-variant-numeric: tabular-nums; }
.payload { font-size: 13.5px; overflow-wrap: anywhere; white-space: pre-wrap; }
@keyframes pulse { 50% { opacity: 0.25; } }
@keyframes arrive { from { opacity: 0; transform: translateY(-4px); } }
@keyframes fresh { from { background: var(--mqtt-soft); border-color: var(--mqtt); } }
@media (prefers-reduced-motion: reduce) { * { animation: none !important; } }
@media (max-width: 560px) { header { flex-wrap: wrap; } .links { order: 3; width: 100%; margin: 0; } #theme { margin-left: auto; } h1 { font-size: 25px; } }
`;
