# SPDX-License-Identifier: Apache-2.0
"""Style sheet and script of a report's page.

Both are part of the page, which loads nothing from anywhere.
"""

STYLE = """
:root { color-scheme: light dark; --page: #f6f6f4; --card: #ffffff; --ink: #1b1c1f;
  --soft: #6c6e75; --line: #e3e3df; --command: #2563c9; --measured: #e08a1e; --good: #23925a;
  --bad: #d2403c; --warn: #b7791f; --bar: #8aa4cf; --other: #9aa0aa; }
@media (prefers-color-scheme: dark) { :root { --page: #131418; --card: #1c1e23; --ink: #e7e8ea;
  --soft: #9a9da6; --line: #30333b; --command: #6ea3ff; --measured: #f2ab4f; --good: #4cc38a;
  --bad: #f2716b; --warn: #e0b15a; --bar: #5b78ab; --other: #6f7681; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 28px 24px 80px; max-width: 1480px; background: var(--page);
  color: var(--ink); font: 14px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
h1 { font-size: 26px; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 19px; margin: 0; overflow-wrap: anywhere; }
h3 { font-size: 14px; margin: 24px 0 8px; color: var(--soft); font-weight: 600; }
a { color: var(--command); text-decoration: none; } a:hover { text-decoration: underline; }
.soft, small { color: var(--soft); } .good { color: var(--good); } .bad { color: var(--bad); }
.warn { color: var(--warn); }
.card, .episode { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 20px 22px; margin-top: 18px; }
.episode { content-visibility: auto; contain-intrinsic-size: auto 1500px; scroll-margin-top: 8px; }
.head { display: flex; gap: 12px; align-items: center; flex-wrap: wrap; }
.head a { margin-left: auto; }
.pill { border-radius: 99px; padding: 1px 11px; border: 1px solid currentColor; font-size: 12px;
  font-weight: 600; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 12px;
  margin-top: 18px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 12px 16px; }
.tile b { display: block; font-size: 24px; line-height: 1.25; font-weight: 600; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, max-content));
  gap: 6px 28px; margin: 12px 0 0; }
dl div:first-child { grid-column: span 2; }
dt { color: var(--soft); font-size: 12px; } dd { margin: 0; overflow-wrap: anywhere; }
summary { color: var(--soft); font-size: 12px; cursor: pointer; margin-top: 10px; }
pre { font-size: 12px; overflow-x: auto; margin: 6px 0 0; }
.grid7 { display: grid; grid-template-columns: repeat(auto-fill, minmax(178px, 1fr)); gap: 12px; }
.grid2 { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 14px; }
figure { margin: 0; min-width: 0; }
figcaption { font-weight: 600; font-size: 12.5px; display: flex; gap: 8px; flex-wrap: wrap;
  align-items: baseline; }
figcaption small { font-weight: 400; font-size: 11px; margin-left: auto; }
.grid7 figcaption small { flex-basis: 100%; margin: -4px 0 0; }
svg { display: block; width: 100%; } svg.chart { cursor: crosshair; }
svg text { fill: var(--soft); font-size: 9px; } svg .end { text-anchor: end; }
svg .middle { text-anchor: middle; }
.grid, .limit, .cursor, polyline { fill: none; vector-effect: non-scaling-stroke; }
.grid { stroke: var(--line); } .limit { stroke: var(--bad); stroke-dasharray: 4 3; }
.cursor { stroke: var(--soft); visibility: hidden; }
polyline { stroke: var(--other); stroke-width: 1.3; stroke-linejoin: round; }
polyline.command { stroke: var(--command); } polyline.measured { stroke: var(--measured); }
polyline.best { stroke: var(--good); stroke-width: 1.8; }
polyline.none, polyline.seam { stroke: none; }
.dots { fill: var(--other); } .dots.best { fill: var(--good); } .dots.seam { fill: var(--warn); }
.bar { fill: var(--bar); } .ground { fill: var(--line); } .ground.on { fill: var(--good); }
.yes { fill: var(--good); } .no, .gap { fill: var(--bad); }
svg.strip { height: 10px; min-width: 160px; border-radius: 3px; }
.images { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(110px, 1fr);
  gap: 4px; overflow-x: auto; margin-bottom: 10px; }
.images figcaption { font-weight: 400; font-size: 11px; color: var(--soft); }
.images img { width: 100%; display: block; border-radius: 4px; cursor: zoom-in; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; font-size: 12px; color: var(--soft);
  white-space: nowrap; }
th[data-sort] { cursor: pointer; } th[data-sort]:hover { color: var(--ink); }
th, td { padding: 5px 26px 5px 0; border-bottom: 1px solid var(--line); }
tbody tr:last-child td { border-bottom: 0; }
td.number, th.number { text-align: right; white-space: nowrap; }
td.wide { width: 30%; }
.key::before { content: ''; display: inline-block; width: 14px; height: 3px; border-radius: 2px;
  margin-right: 6px; vertical-align: middle; background: var(--other); }
.key.command::before { background: var(--command); }
.key.measured::before { background: var(--measured); }
.key.best::before { background: var(--good); } .key { margin-left: 14px; font-size: 12px; }
ul { margin: 8px 0 0; padding-left: 18px; }
#tip { position: fixed; pointer-events: none; background: var(--ink); color: var(--page);
  padding: 3px 9px; border-radius: 6px; font-size: 12px; white-space: nowrap; display: none; }
dialog { border: 0; border-radius: 12px; padding: 0; background: none; }
dialog::backdrop { background: rgb(0 0 0 / 0.7); }
dialog img { display: block; width: min(90vw, 960px); image-rendering: auto; }
"""

SCRIPT = """
'use strict';
const [LEFT, RIGHT, TOP, BOTTOM] = MARGINS;
const tip = document.getElementById('tip'), dialog = document.querySelector('dialog');
let marked = [];
function valueAt(svg, line, x) {
  const points = line.points, box = svg.viewBox.baseVal;
  let best = null;
  for (let i = 0; i < points.numberOfItems; i++) {
    const point = points.getItem(i);
    if (best === null || Math.abs(point.x - x) < Math.abs(best.x - x)) best = point;
  }
  if (best === null) return null;
  const low = +svg.dataset.low, high = +svg.dataset.high;
  return low + (box.height - BOTTOM - best.y) / (box.height - TOP - BOTTOM) * (high - low);
}
document.addEventListener('pointermove', (event) => {
  for (const cursor of marked) cursor.style.visibility = 'hidden';
  marked = [];
  tip.style.display = 'none';
  const svg = event.target.closest ? event.target.closest('svg.chart') : null;
  if (!svg) return;
  const place = svg.getBoundingClientRect(), box = svg.viewBox.baseVal;
  const x = (event.clientX - place.left) / place.width * box.width;
  const part = (x - LEFT) / (box.width - LEFT - RIGHT);
  if (part < 0 || part > 1) return;
  for (const other of svg.closest('.episode').querySelectorAll('svg.chart')) {
    const cursor = other.querySelector('.cursor'), width = other.viewBox.baseVal.width;
    const at = LEFT + part * (width - LEFT - RIGHT);
    cursor.setAttribute('transform', `translate(${at} 0)`);
    cursor.style.visibility = 'visible';
    marked.push(cursor);
  }
  const lines = [`${(part * svg.dataset.seconds).toFixed(2)} s`];
  for (const line of svg.querySelectorAll('polyline')) {
    const value = valueAt(svg, line, x);
    if (value !== null) lines.push(`${line.dataset.name} ${value.toFixed(3)}`);
  }
  tip.textContent = lines.join('  ·  ');
  tip.style.display = 'block';
  const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  tip.style.left = `${left}px`;
  tip.style.top = `${event.clientY + 18}px`;
});
document.addEventListener('click', (event) => {
  const image = event.target.closest('.images img'), head = event.target.closest('th');
  if (event.target.closest('dialog')) dialog.close();
  if (image) {
    dialog.firstElementChild.src = image.src;
    dialog.showModal();
  }
  if (head && 'sort' in head.dataset) {
    const body = head.closest('table').tBodies[0], column = head.cellIndex;
    const down = head.dataset.sort === 'down';
    head.dataset.sort = down ? 'up' : 'down';
    const key = (row) => row.cells[column] ? row.cells[column].dataset.value ?? '' : '';
    const order = (a, b) => (key(a) - key(b)) || key(a).localeCompare(key(b));
    body.append(...[...body.rows].sort((a, b) => down ? order(b, a) : order(a, b)));
  }
});
document.documentElement.dataset.ready = 'yes';
"""
