/** The style of the page that `maitred evaluate` writes: light and dark, from a phone to a wide screen, and in print. */
export const STYLE = `
:root{color-scheme:light dark;--ink:#1d2126;--soft:#59616b;--paper:#f6f6f3;--card:#fff;--edge:#dcdcd6;--accent:#1f6f5c;
--bad:#b3261e;--heat:31,111,92;--wrong:179,38,30;--s0:#1f6f5c;--s1:#b8560f;--s2:#3457b1;--s3:#8a2f78}
@media(prefers-color-scheme:dark){:root{--ink:#e9ebee;--soft:#a2abb6;--paper:#14171a;--card:#1d2125;--edge:#343a41;
--accent:#6fcdb3;--bad:#ff8a80;--heat:90,190,160;--wrong:255,120,110;--s0:#6fcdb3;--s1:#f2a35e;--s2:#8fb0ff;--s3:#e693d3}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 20px 80px}
h1{font-size:clamp(1.5rem,4vw,2.1rem);line-height:1.2;margin:0 0 6px;text-wrap:balance}
h2{font-size:1.3rem;margin:52px 0 4px;scroll-margin-top:12px}h3{font-size:1rem;margin:0 0 10px}section>h3{margin-top:26px}
p{margin:0 0 14px;max-width:72ch}.soft,caption,figcaption,.note{color:var(--soft)}.small{font-size:.875rem}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:4px 18px;margin:16px 0 0;padding:0}
a{color:var(--accent)}:focus-visible{outline:3px solid var(--accent);outline-offset:2px;border-radius:4px}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(46%,210px),1fr));gap:12px;margin:20px 0 0;padding:0;list-style:none}
.tiles li,.card{background:var(--card);border:1px solid var(--edge);border-radius:10px;padding:14px 16px;min-width:0}
.tiles li{display:flex;flex-direction:column}.tiles .about{margin-bottom:auto;padding-bottom:6px}.tiles b{display:block;font-size:1.65rem;line-height:1.25;font-variant-numeric:tabular-nums}
.tiles .who{font-size:.8rem;font-weight:600}.tiles .small+.who:not(.about+.who){margin-top:8px}.tiles span{display:block}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,490px),1fr));gap:14px;margin-top:14px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.925rem}
caption{text-align:left;padding-bottom:8px;font-size:.875rem}
th,td{padding:6px 10px 6px 0;text-align:right;border-top:1px solid var(--edge);vertical-align:top}
thead th{border-top:0;color:var(--soft);font-weight:500;vertical-align:bottom}
th[scope=row]{text-align:left;font-weight:600;min-width:6.5rem}td.text{min-width:11rem}.confusion th[scope=row],details th[scope=row]{min-width:0}td.text,th.text{text-align:left}td:not(.text){white-space:nowrap}th+td.text,td+td.text,th+th.text{padding-left:14px}
td i{display:block;font-style:normal;font-size:.8rem;color:var(--soft);white-space:normal}
.confusion td{text-align:center;padding:8px 4px;background:rgba(var(--wrong),calc(var(--p)*.85))}
.confusion th{padding-right:8px}.confusion thead th{text-align:center}
.confusion thead td{border:0;background:none}.confusion td.right{background:rgba(var(--heat),calc(var(--p)*.38))}
.chart{display:block;width:100%;max-width:460px;height:auto;margin:0 auto}.chart text{fill:var(--soft);font-size:11px}
.grid{stroke:var(--edge)}.diagonal{stroke:var(--soft);stroke-dasharray:3 4}.whisker{stroke:var(--s0);stroke-width:1.5;opacity:.7}
.dot{fill:var(--s0)}.line{fill:none;stroke-width:2.2;stroke-linejoin:round}
.s0{stroke:var(--s0)}.s1{stroke:var(--s1);stroke-dasharray:7 3}.s2{stroke:var(--s2);stroke-dasharray:2 3}.s3{stroke:var(--s3);stroke-dasharray:9 3 2 3}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:4px 18px;margin:8px 0 0;padding:0;font-size:.875rem}
.legend svg{width:30px;height:10px;margin-right:6px;vertical-align:middle}
details{margin-top:10px;font-size:.9rem}summary{cursor:pointer;color:var(--accent)}
.photos{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(46%,170px),1fr));gap:14px;margin:14px 0 0;padding:0;list-style:none}
.photos li{background:var(--card);border:1px solid var(--edge);border-radius:10px;overflow:hidden;font-size:.82rem;line-height:1.4;min-width:0}
.photos img,.photos .none{display:block;width:100%;aspect-ratio:4/3;object-fit:contain;background:rgba(127,127,127,.12)}
.photos .none{display:grid;place-items:center;color:var(--soft)}
.photos .words{padding:8px 10px 10px}.photos b{display:block}.photos .file{display:block;color:var(--soft);overflow-wrap:anywhere;font-size:.76rem}
.veil{position:relative;display:block;overflow:hidden;cursor:pointer}.veil input{position:absolute;opacity:0;inset:0;width:100%;height:100%;margin:0;cursor:pointer;z-index:1}
.veil input:not(:checked)~img{filter:blur(16px);transform:scale(1.1)}
.veil span{position:absolute;inset:auto 0 0;padding:3px 8px;font-size:.75rem;background:rgba(0,0,0,.66);color:#fff;text-align:center}
.veil input:checked~span{display:none}.veil:focus-within{outline:3px solid var(--accent);outline-offset:-3px}
.bad{color:var(--bad)}ul.plain{padding-left:20px;margin:8px 0}
@media(max-width:520px){main{padding:18px 14px 60px}th,td{padding-right:8px}.card{padding:12px}}
@media print{body{background:#fff}.card,.tiles li,.photos li{break-inside:avoid}nav{display:none}}
`;
