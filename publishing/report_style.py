"""How the nightly report looks: one accent colour, system fonts, light and dark, nothing loaded from anywhere."""

CSS = """
:root { --page: #ffffff; --ink: #1d2433; --soft: #626b7d; --line: #e3e6ec; --panel: #f6f7f9; --accent: #2f6f5e;
  --grey: #b4bbc8; --warn: #9a5b00; color-scheme: light dark }
@media (prefers-color-scheme: dark) { :root { --page: #12151b; --ink: #e6e9f0; --soft: #97a0b2; --line: #2b313c;
  --panel: #1a1e26; --accent: #4fa58c; --grey: #566074; --warn: #e0a44a } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, Helvetica, Arial, sans-serif; font-variant-numeric: tabular-nums }
main { max-width: 1120px; margin: 0 auto; padding: 40px 28px 80px }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.01em }
h2 { font-size: 19px; margin: 52px 0 4px; padding-top: 18px; border-top: 1px solid var(--line) }
h3 { font-size: 14px; margin: 22px 0 8px }
p { margin: 6px 0 12px; max-width: 74ch } .soft { color: var(--soft) } .warn { color: var(--warn) }
.eyebrow { color: var(--accent); font-weight: 600; font-size: 13px; letter-spacing: .04em; text-transform: uppercase }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 24px 0 0 }
.tile { background: var(--panel); border-radius: 8px; padding: 14px 16px }
.tile b { display: block; font-size: 23px; line-height: 1.25; letter-spacing: -0.01em }
.tile span { color: var(--soft); font-size: 13px }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 8px 44px }
table { border-collapse: collapse; width: 100%; font-size: 14px }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 13px }
td, th { padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top }
td.r, th.r { text-align: right } td:last-child, th:last-child { padding-right: 0 } .wide { overflow-x: auto }
code, .mono { font: 12.5px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere }
details { margin: 10px 0 } summary { cursor: pointer; color: var(--accent) }
svg { display: block; width: 100%; height: auto; overflow: visible } svg .t { fill: var(--ink); font-size: 13px }
svg .m { fill: var(--soft); font-size: 12px } svg .s { font-size: 11px }
svg rect.a, svg circle.a { fill: var(--accent) }
svg rect.n, svg circle.n { fill: var(--grey) } svg line.a, svg polyline.a { stroke: var(--accent) }
svg line.n, svg polyline.n { stroke: var(--grey) } svg .w { stroke-width: 2 } svg .l { fill: none; stroke-width: 2 }
svg .g { stroke: var(--line); stroke-width: 1 }
.key { font-size: 13px; color: var(--soft); margin: 0 0 6px } .key i { display: inline-block; width: 10px; height: 10px;
  border-radius: 2px; margin: 0 5px 0 12px } .key i:first-child { margin-left: 0 } .key .a { background: var(--accent) }
.key .n { background: var(--grey) }
.person { margin: 20px 0 30px } .person .two { grid-template-columns: minmax(260px, 2fr) minmax(380px, 3fr) }
.person td { padding: 4px 12px 4px 0 } .person td:first-child { white-space: nowrap } .like { color: var(--accent) }
@media (max-width: 800px) { .person .two { grid-template-columns: 1fr } .two { grid-template-columns: 1fr } }
@media print { main { max-width: none } details { display: none } }
"""
