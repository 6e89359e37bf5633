// What a reader of this page would trip over, as [kind, detail] each; pages.py calls it once a width and theme.
() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const start = (e) => JSON.stringify((e.innerText || e.textContent || e.tagName).trim().slice(0, 50));
  const style = (e) => getComputedStyle(e);
  const ancestors = (e) => e ? [e, ...ancestors(e.parentElement)] : [];
  const scrolls = (e) => ["auto", "scroll"].includes(style(e).overflowX);
  const shown = (e) => e.checkVisibility();

  all("main details").forEach(d => d.open = true);

  // What sticks out, if nothing around it scrolls
  const over = document.documentElement.scrollWidth - innerWidth;
  const out = (e) => shown(e) && e.getBoundingClientRect().right > innerWidth + 1 && !ancestors(e).some(scrolls);
  const wide = over > 1 ? [start(all("body *").findLast(out) || document.body)] : [];
  const clipped = all("main pre, main table, main math")
    .filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth && !ancestors(e).some(scrolls)).map(start);

  // Pictures that are not there, are empty, or say nothing to those who cannot see them
  const broken = document.images.length ? [...document.images].filter(i => !i.complete || !i.naturalWidth) : [];
  const caption = (i) => i.alt || i.closest("figure")?.querySelector("figcaption")?.innerText;
  const nameless = all("main img").filter(i => !caption(i));

  // Markdown, directives and LaTeX that were left as they are written
  const RAW = [/\]\([^\s)]+\)/, /\{\{</, /^\s*#\|/m, /^\s*:::/m, /^\s*#{1,6} /m, /\*\*\S/, /\$\$/, /\\[a-zA-Z]{2,}/,
               /^\s*[-*] \S/m, /^\s*\|.*\|\s*$/m, /`/, /(^|\s)[–—][a-z]/];
  const code = "pre, code, math, .math, mjx-container, script, style, .sourceCode";
  const raw = [];
  const texts = document.createTreeWalker(document.querySelector("main") || document.body, NodeFilter.SHOW_TEXT);
  for (let t; t = texts.nextNode();) {
    const hit = !t.parentElement.closest(code) && RAW.map(r => t.data.match(r)).find(Boolean);
    if (hit) raw.push(JSON.stringify(t.data.slice(hit.index, hit.index + 50).trim()));
  }

  // Contrast of text and what is behind it, as WCAG computes it
  const parts = (colour) => colour.match(/[\d.]+/g).map(Number);
  const linear = (v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = (colour) => parts(colour).slice(0, 3).map(v => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const opaque = (colour) => (parts(colour)[3] ?? 1) >= .5;
  const behind = (e) => ancestors(e).map(a => style(a).backgroundColor).find(opaque) || "rgb(255, 255, 255)";
  const contrast = (e) => {
    const [a, b] = [light(style(e).color), light(behind(e))].sort((x, y) => y - x);
    return (a + .05) / (b + .05);
  };
  const pale = all("main p, main li, main td, main th, figcaption, main pre, main h1, main h2, main h3")
    .filter(e => e.innerText && shown(e) && contrast(e) < 4).slice(0, 3).map(start);

  const empty = document.querySelector("main")?.innerText.trim() ? [] : [location.pathname.split("/").at(-1)];
  const faults = {"wider than the window": wide, "cut off, and does not scroll": clipped,
                  "a picture is missing": broken.map(i => i.src.split("/").at(-1)),
                  "a picture without a caption or a text in its place": nameless.map(i => i.src.split("/").at(-1)),
                  "markdown or LaTeX as it is written": raw, "hard to read on what is behind it": pale,
                  "an empty page": empty};
  return Object.entries(faults).flatMap(([kind, details]) => details.map(detail => `${kind}: ${detail}`));
}
