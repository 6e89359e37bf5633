"""The documentation as a reader meets it

notebooks            what the processed notebooks (python .ci/nb.py docs) will show: links, figures, directives, warnings
site                 the rendered pages in a real browser, light and dark, at the width of a desk and of a phone
                     (--folder says where; --pictures FOLDER keeps a picture of each; --browser PATH names the browser)
"""
import json, os, re, sys
from collections import Counter
from functools import cache
from pathlib import Path

import yaml
from fastcore.script import call_parse

ROOT = Path(__file__).resolve().parent.parent
PROC = ROOT / "_proc"
WIDE = 130                                                # columns of code; what is longer has no place to break
OPTIONS = {"label", "fig-cap", "echo", "output", "eval", "code-fold", "code-summary"}
WARNING = re.compile(r"\w*Warning: |Traceback \(most recent")
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+(?:\([^()]*\)[^()\s]*)?)\)")

def pages(): return sorted(p for p in PROC.rglob("*") if p.suffix in (".ipynb", ".qmd"))
def source(cell): return "".join(cell["source"])
def slug(heading): return re.sub(r"[^\w\s.-]", "", re.sub(r"\]\([^)]*\)", "", heading)).strip().lower().replace(" ", "-")

@cache
def cells(path):
    if path.suffix == ".ipynb": return json.loads(path.read_text())["cells"]
    text = re.sub(r"\{\{< include (\S+) >\}\}", lambda m: (path.parent / m[1]).read_text(), path.read_text())
    return [dict(cell_type="markdown", source=[text])]

def text(cell):
    "The markdown of a cell, code in it left out, and of its outputs"
    shown = ["".join(o["data"]["text/markdown"]) for o in cell.get("outputs", []) if "text/markdown" in o.get("data", {})]
    return "\n".join([re.sub(r"```.*?```|`[^`\n]*`(?!\])", "", s, flags=re.S) for s in ([source(cell)] if cell["cell_type"] == "markdown" else []) + shown])

@cache
def anchors(path):
    "Every place of a page that a link can name"
    body = "\n".join(source(c) if c["cell_type"] == "markdown" else text(c) for c in cells(path))
    return {slug(h) for h in re.findall(r"^#+ (.+)$", body, re.M)} | set(re.findall(r"\{#([\w.-]+)", body)) | set(re.findall(r"#\| label: (\S+)", "\n".join(map(source, cells(path)))))

def broken(path):
    "Links that lead nowhere"
    for cell in cells(path):
        for link in LINK.findall(text(cell)):
            if re.match(r"https?:|mailto:", link): continue
            target, _, place = link.partition("#")
            at = (path.parent / target).resolve() if target else path
            if target.endswith(".html"): yield f"{link}: pages have other names than notebooks; link to the .ipynb"
            elif not at.exists(): yield f"{link}: no such file"
            elif place and at.suffix in (".ipynb", ".qmd") and place.lower() not in anchors(at): yield f"{link}: no such place in {at.name}"

def figures(path):
    "Figures without a name or a caption"
    seen = Counter(re.findall(r"#\| label: (\S+)", "\n".join(map(source, cells(path)))))
    yield from (f"two figures are called {n}" for n, k in seen.items() if k > 1)
    for cell in cells(path):
        if not any("image/png" in o.get("data", {}) for o in cell.get("outputs", [])): continue
        if not re.search(r"^#\| label: fig-", source(cell), re.M): yield f"a figure without a label: {source(cell)[:60]!r}"
        if len((re.search(r'^#\| fig-cap: "(.+)"$', source(cell), re.M) or ["", ""])[1]) < 25: yield f"a figure without a caption that says what to see: {source(cell)[:60]!r}"

def raw(path):
    "What should never reach a reader"
    for cell in cells(path):
        body = source(cell)
        if cell["cell_type"] == "markdown" and re.search(r"\[\[[^\]]*\]\([^)]*\)[^\]]*\]\(", body): yield f"a link within a link: {body[:60]!r}"
        for name in re.findall(r"^#\|\s*([\w-]+)", body, re.M):
            if name not in OPTIONS: yield f"a directive is shown: #| {name}"
        if cell["cell_type"] == "markdown" and re.search(r"^#\||\{\{<", re.sub(r"```.*?```|`[^`\n]*`", "", body, flags=re.S), re.M): yield f"markdown with a directive: {body[:60]!r}"
        if cell["cell_type"] == "code" and not re.search(r"^#\| echo: false", body, re.M):
            yield from (f"a line of {len(l)} columns: {l.strip()[:60]!r}" for l in body.splitlines() if len(l) > WIDE and not l.startswith("#|"))
        for o in cell.get("outputs", []):
            said = "".join(o.get("text", "")) + "".join(o.get("data", {}).get("text/plain", ""))
            if re.match(r"[\[(]*(<[\w.]+[ >]|np\.float)", said.strip()) and "image/png" not in o.get("data", {}) and "text/markdown" not in o.get("data", {}):
                yield f"an object's address, or what a plot returned: {said[:60]!r}"
            if o.get("name") == "stderr" or o.get("output_type") == "error" or WARNING.search(said): yield f"a stored warning or error: {said[:80]!r}"

def sidebar():
    "Pages that the sidebar does not have, and entries that are no page"
    def files(items):
        for i in items:
            if isinstance(i, str): yield i
            else: yield from files(i.get("contents", []))
    listed = list(files(yaml.safe_load((PROC / "sidebar.yml").read_text())["website"]["sidebar"]["contents"]))
    there = {str(p.relative_to(PROC)) for p in pages()}
    yield from (f"not in the sidebar: {p}" for p in sorted(there - set(listed)))
    yield from (f"in the sidebar, but no page: {p}" for p in listed if p not in there)

def check_notebooks():
    bad = list(sidebar())
    for p in pages():
        for check in (broken, figures, raw): bad += [f"{p.relative_to(PROC)}: {b}" for b in check(p)]
    print("\n".join(bad) or f"{len(pages())} pages are as a reader should see them")
    return not bad

SEEN = """() => ({
  wide: document.documentElement.scrollWidth - window.innerWidth,
  images: [...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src),
  nameless: [...document.querySelectorAll('main img')].filter(i => !i.alt && !i.closest('figure')?.querySelector('figcaption')?.innerText).length,
  raw: (document.body.innerText.match(/^\\s*#\\|.*$|\\{\\{<.*|^:::.*$/gm) || []),
  clipped: [...document.querySelectorAll('main pre, main table')].filter(e => e.scrollWidth > e.clientWidth + 1 && !['auto', 'scroll'].includes(getComputedStyle(e).overflowX)
            && !e.closest('[style*=overflow], .cell-output, .sourceCode')).map(e => e.innerText.slice(0, 40)),
  pale: (() => { const of = c => c.match(/[\\d.]+/g).slice(0, 3).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
            const thin = c => { const v = c.match(/[\\d.]+/g); return c === 'transparent' || v.length > 3 && +v[3] < .5 };
            const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!thin(c)) return of(c) } return 1 };
            return [...document.querySelectorAll('main p, main li, main td, figcaption, main pre, main h1, main h2')].filter(e => e.innerText).map(e => { const [a, b] = [of(getComputedStyle(e).color), behind(e)].sort((x, y) => y - x);
            return [(a + .05) / (b + .05), e.innerText.slice(0, 40)] }).filter(x => x[0] < 4).slice(0, 3) })(),
  links: [...document.querySelectorAll('a[href]')].map(a => a.href)})"""

def check_site(folder, pictures, browser):
    "Every page at two widths in two themes; links between pages; what the browser complains of"
    from playwright.sync_api import sync_playwright
    flags, bad, links = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"], [], {}
    with sync_playwright() as p:
        chromium = p.chromium.launch(args=flags, **(dict(executable_path=browser) if browser else {}))
        for path in sorted(Path(folder).resolve().rglob("*.html")):
            name = str(path.relative_to(Path(folder).resolve()))
            for width, theme in ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")):
                page = chromium.new_page(viewport=dict(width=width, height=900), color_scheme=theme)
                said = []
                page.on("pageerror", lambda e: said.append(str(e)))
                page.goto(path.as_uri(), wait_until="load")
                if theme == "dark": page.evaluate("() => window.quartoToggleColorScheme && document.body.classList.contains('quarto-light') && window.quartoToggleColorScheme()")
                seen = page.evaluate(SEEN)
                where = f"{name} ({width} px, {theme})"
                if seen["wide"] > 1: bad.append(f"{where}: {seen['wide']} px wider than the window")
                bad += [f"{where}: {what}: {x}" for what in ("images", "raw", "clipped", "pale") for x in seen[what]]
                bad += [f"{where}: {x}" for x in said]
                if seen["nameless"]: bad.append(f"{where}: {seen['nameless']} pictures without a caption or a text in their place")
                links[name] = seen["links"]
                if pictures:
                    out = Path(pictures) / f"{name.removesuffix('.html').replace('/', '-')}-{width}-{theme}.png"
                    out.parent.mkdir(parents=True, exist_ok=True); page.screenshot(path=out, full_page=True)
                page.close()
        chromium.close()
    places = cache(lambda f: set(re.findall(r'\bid="([^"]+)"', f.read_text(errors="replace"))))
    for name, found in links.items():
        for link in dict.fromkeys(l for l in found if l.startswith("file:")):
            target, _, place = link.removeprefix("file://").partition("#")
            from urllib.parse import unquote
            at = Path(unquote(target))
            if at.is_dir(): at /= "index.html"
            if not at.exists(): bad.append(f"{name}: leads to {at.name}, which is not there")
            elif place and at.suffix == ".html" and unquote(place) not in places(at): bad.append(f"{name}: leads to #{place} of {at.name}, which is not there")
    print("\n".join(bad) or f"{len(links)} pages look as they should, in two themes and at two widths")
    return not bad

@call_parse
def main(what:str, # notebooks or site
         folder:str="_docs", # With site: where the pages are
         pictures:str="", # With site: folder for a picture of each page
         browser:str="", # With site: the browser, if not playwright's own
        )->None:
    "Check the documentation"
    if what not in ("notebooks", "site"): sys.exit(__doc__)
    os.chdir(ROOT)
    sys.exit(not (check_notebooks() if what == "notebooks" else check_site(folder, pictures, browser)))
