/**
 * How the page looks. Colours have one meaning each: blue is side A, violet is side B, red is what nobody declared, green what
 * is new, amber what moved or changed. Nothing is told by colour alone.
 */
export const STYLE = `
:root {
  color-scheme: light dark;
  --paper: #fbfbf9; --card: #ffffff; --ink: #1c1f24; --soft: #5a616c; --faint: #8b929d; --line: #dfe1e5;
  --well: #f3f4f5; --a: #1f5fbf; --a-wash: #e8f0fc; --b: #7a3ea8; --b-wash: #f4ebfa;
  --bad: #b3261e; --bad-wash: #fdecea; --new: #1a7f4b; --new-wash: #e2f4ea; --moved: #96610a; --moved-wash: #fdf1d8;
  --same-wash: #eef0f3; --mark: #fff3bf;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", "Noto Sans Mono", "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14161a; --card: #1c1f25; --ink: #e7e9ed; --soft: #a7aeb9; --faint: #79818d; --line: #333842;
    --well: #22262d; --a: #86b4f7; --a-wash: #1b2a42; --b: #cfa3f0; --b-wash: #32233f;
    --bad: #ff9a92; --bad-wash: #43211f; --new: #76d6a0; --new-wash: #16382a; --moved: #f0c268; --moved-wash: #3f3217;
    --same-wash: #292e36; --mark: #4a4220;
  }
}
@media print {
  :root {
    --paper: #fff; --card: #fff; --ink: #000; --soft: #333; --faint: #666; --line: #bbb; --well: #f5f5f5;
    --a: #1f5fbf; --a-wash: #e8f0fc; --b: #7a3ea8; --b-wash: #f4ebfa; --bad: #b3261e; --bad-wash: #fdecea;
    --new: #1a7f4b; --new-wash: #e2f4ea; --moved: #96610a; --moved-wash: #fdf1d8; --same-wash: #eef0f3; --mark: #fff3bf;
  }
  body { font-size: 9.5pt; }
  nav { display: none; }
  .versus, .rule, .program, .map, tr, .side { break-inside: avoid; } .head { break-after: avoid; }
  h2, h3 { break-after: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
@page { margin: 15mm 14mm; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 var(--sans); }
main, header, footer, nav { max-width: 1080px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 40px; }
h1 { font-size: 27px; line-height: 1.25; font-weight: 650; margin: 0 0 20px; letter-spacing: -0.01em; }
h1 .to { color: var(--faint); font-weight: 400; padding: 0 6px; }
h2 { font-size: 19px; font-weight: 650; margin: 48px 0 6px; }
h3 { font: 600 14px/1.4 var(--mono); margin: 0; overflow-wrap: anywhere; }
h4 { font-size: 13px; font-weight: 600; margin: 0 0 6px; }
p { margin: 6px 0; }
.lead { color: var(--soft); margin: 0 0 16px; max-width: 95ch; }
.soft { color: var(--soft); } .small { font-size: 13px; } .source { color: var(--faint); font-size: 12.5px; }
.in-a { color: var(--a); } .in-b { color: var(--b); }
code, pre, .mono { font-family: var(--mono); font-size: 12.5px; }
code { overflow-wrap: anywhere; }
a { color: inherit; text-decoration-color: var(--faint); text-underline-offset: 3px; }
a:focus-visible, summary:focus-visible { outline: 2px solid var(--a); outline-offset: 2px; }
nav { padding-top: 20px; display: flex; flex-wrap: wrap; gap: 6px 18px; font-size: 13.5px; }
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: 14px; }
.side { background: var(--card); border: 1px solid var(--line); border-top: 3px solid; border-radius: 6px; padding: 14px 18px; }
.side.a { border-top-color: var(--a); } .side.b { border-top-color: var(--b); }
.side .role { font-size: 12.5px; color: var(--soft); }
.side .name { font: 600 16px/1.4 var(--mono); overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 12px; margin: 8px 0 0; font-size: 13px; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); margin-top: 14px;
  background: var(--card); border: 1px solid var(--line); border-radius: 6px; overflow: hidden; }
.tile { padding: 12px 18px 14px; box-shadow: 1px 1px 0 var(--line); }
.tile .label { font-size: 12.5px; color: var(--soft); }
.tile .number { font-size: 24px; font-weight: 620; font-variant-numeric: tabular-nums; line-height: 1.3; }
.tile .number.bad { color: var(--bad); }
.tile .detail { font-size: 12.5px; color: var(--soft); }
.bar { display: flex; gap: 2px; height: 6px; margin: 8px 0 6px; border-radius: 3px; overflow: hidden; background: var(--same-wash); }
.bar i { display: block; min-width: 3px; }
.bar .bad { background: var(--bad); } .bar .meant { background: var(--moved); } .bar .same { background: var(--same-wash); }
.bar .good { background: var(--new); } .bar .other { background: var(--faint); }
article { background: var(--card); border: 1px solid var(--line); border-radius: 6px; margin: 14px 0; overflow: hidden; }
article.unintended { border-left: 4px solid var(--bad); }
.head { padding: 13px 18px 11px; display: flex; flex-wrap: wrap; gap: 6px 10px; align-items: baseline; }
.head h3 { flex: 1 1 320px; }
.body { padding: 0 18px 14px; }
.badge { font-size: 12px; line-height: 18px; padding: 1px 8px; border-radius: 10px; background: var(--same-wash); color: var(--soft); white-space: nowrap; }
.badge.bad, .badge.removed { background: var(--bad-wash); color: var(--bad); }
.badge.new, .badge.added, .badge.mended { background: var(--new-wash); color: var(--new); }
.badge.changed, .badge.moved { background: var(--moved-wash); color: var(--moved); }
.badge.a { background: var(--a-wash); color: var(--a); } .badge.b { background: var(--b-wash); color: var(--b); }
.versus { display: grid; grid-template-columns: 1fr 1fr; border-top: 1px solid var(--line); border-bottom: 1px solid var(--line); }
.versus > div { padding: 10px 18px 12px; } .versus > div + div { border-left: 1px solid var(--line); }
.versus .a { background: var(--a-wash); } .versus .b { background: var(--b-wash); }
.versus .who { font-size: 12.5px; color: var(--soft); } .versus .what { font-weight: 560; overflow-wrap: anywhere; }
.program { margin: 10px 0 0; background: var(--well); border-radius: 5px; padding: 9px 0; overflow-x: auto; counter-reset: none; }
.program div { padding: 0 14px; white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.6; color: var(--soft); display: flex; gap: 12px; }
.program .n { color: var(--faint); flex: none; width: 2.4em; text-align: right; user-select: none; }
.program .here { background: var(--mark); color: var(--ink); font-weight: 600; }
.program .comment { color: var(--faint); font-family: var(--sans); font-weight: 400; margin-left: 8px; }
.rule { margin: 10px 0 0; }
.says { max-width: 85ch; }
ins { background: var(--new-wash); color: var(--new); text-decoration: none; border-radius: 2px; }
del { background: var(--bad-wash); color: var(--bad); border-radius: 2px; }
details { margin-top: 10px; } summary { cursor: pointer; color: var(--soft); font-size: 13px; }
details ul { columns: 2; column-gap: 24px; margin: 8px 0 0; padding-left: 18px; font-size: 12.5px; }
details li { overflow-wrap: anywhere; break-inside: avoid; }
pre.run { margin: 8px 0 0; white-space: pre-wrap; overflow-wrap: anywhere; background: var(--well); border-radius: 5px; padding: 9px 14px; }
table { border-collapse: collapse; width: 100%; background: var(--card); border: 1px solid var(--line); border-radius: 6px; font-size: 14px; }
th { text-align: left; font-weight: 600; font-size: 12.5px; color: var(--soft); white-space: nowrap; }
th, td { padding: 9px 14px; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
tr:last-child td { border-bottom: 0; }
.maps { display: grid; grid-template-columns: 1fr 1fr; gap: 18px; padding: 4px 18px 16px; }
.map svg { width: 100%; height: auto; display: block; }
.map text { font: 12px var(--mono); fill: var(--ink); } .map .at { fill: var(--faint); font-size: 10.5px; }
.map .cell { stroke: var(--faint); stroke-width: 1; }
.map .same { fill: var(--same-wash); } .map .moved { fill: var(--moved-wash); } .map .only-a { fill: var(--bad-wash); }
.map .only-b { fill: var(--new-wash); } .map .padding { fill: url(#hatch); } .hatch { stroke: var(--faint); stroke-width: 1; }
.map .name-moved { fill: var(--moved); } .map .name-only-a { fill: var(--bad); } .map .name-only-b { fill: var(--new); }
.map .absent { color: var(--faint); border: 1px dashed var(--line); border-radius: 5px; padding: 22px; text-align: center; font-size: 13px; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 16px; font-size: 12.5px; color: var(--soft); margin: 0 0 4px; }
.legend i { display: inline-block; width: 14px; height: 11px; border: 1px solid var(--faint); margin-right: 6px; vertical-align: -1px; }
.legend .moved { background: var(--moved-wash); } .legend .only-a { background: var(--bad-wash); } .legend .only-b { background: var(--new-wash); }
.legend .same { background: var(--same-wash); }
.legend .padding { background: repeating-linear-gradient(45deg, var(--faint) 0 1px, transparent 1px 4px); }
.nothing { color: var(--soft); }
footer { padding-top: 44px; padding-bottom: 56px; color: var(--soft); font-size: 13px; }
@media (max-width: 720px) {
  .sides, .versus, .maps { grid-template-columns: 1fr; }
  .versus > div + div { border-left: 0; border-top: 1px solid var(--line); }
  details ul { columns: 1; }
}
`;
