"""The documentation as a reader meets it

notebooks            what the processed notebooks (python .ci/nb.py docs) will show: links, figures, tables,
                     directives, outputs
selftest             a made-up page with each fault that `notebooks` looks for: is it found?
site                 the rendered pages in a real browser, light and dark, at the width of a desk and of a phone
                     (--folder says where; --pictures FOLDER keeps a picture of each; --browser PATH names the browser)
"""
import json, os, re, sys, tempfile
from collections import Counter
from functools import cache
from pathlib import Path

import yaml
from fastcore.script import call_parse

ROOT = Path(__file__).resolve().parent.parent
PROC = ROOT / "_proc"
WIDE = 130                                                # columns of code; what is longer has no place to break
OPTIONS = {"label", "fig-cap", "echo", "output", "eval", "code-fold", "code-summary"}
CODE = re.compile(r"```.*?```|``[^`]+``|`[^`\n]*`", re.S)
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+(?:\([^()]*\)[^()\s]*)?)\)")
NESTED = re.compile(r"\[\[[^\]]*\]\([^)]*\)[^\]]*\]\(")
WARNING = re.compile(r"\w*Warning: |Traceback \(most recent")
PLACE = re.compile(r"/(?:home|root|tmp|work|Users|usr/lib|opt)/")
OBJECT = re.compile(r"[\[(]*(<[\w.]+[ >]|np\.float)")     # an object's address, or what a plot returned

def pages(): return sorted(p for p in PROC.rglob("*") if p.suffix in (".ipynb", ".qmd"))
def source(cell): return "".join(cell["source"])
def slug(heading):
    words = re.sub(r"[^\w\s.-]", "", re.sub(r"\]\([^)]*\)", "", heading))
    return words.strip().lower().replace(" ", "-")

@cache
def cells(path):
    if path.suffix == ".ipynb": return json.loads(path.read_text())["cells"]
    text = re.sub(r"\{\{< include (\S+) >\}\}", lambda m: (path.parent / m[1]).read_text(), path.read_text())
    return [dict(cell_type="markdown", source=[text])]

def shown(cell):
    "Kind and text of what a reader sees of a cell besides its code: of each output the richest form, no pictures"
    if cell["cell_type"] == "markdown": yield "markdown", source(cell)
    for o in cell.get("outputs", []):
        data = o.get("data", {"text/plain": o.get("text", "")})
        if "image/png" in data: continue
        kind = next((k for k in ("markdown", "html") if f"text/{k}" in data), "plain")
        yield kind, "".join(data.get(f"text/{kind}", ""))

def markdown(cell):
    "The markdown that a reader sees of a cell"
    return "\n".join(body for kind, body in shown(cell) if kind == "markdown")

def prose(body):
    "Markdown whose code is plain words: it may be the text of a link, but holds none"
    return CODE.sub(lambda m: re.sub(r"[^\w.]", "", m[0]), body)

@cache
def anchors(path):
    "Every place of a page that a link can name"
    body = "\n".join(map(markdown, cells(path)))
    labels = re.findall(r"#\| label: (\S+)", "\n".join(map(source, cells(path))))
    headings = re.findall(r"^#+ (.+)$", body, re.M)
    return {*map(slug, headings), *re.findall(r"\{#([\w.-]+)", body), *labels}

def broken(path):
    "Links that lead nowhere, in text and in outputs"
    for cell in cells(path):
        for link in LINK.findall(prose(markdown(cell))):
            if re.match(r"https?:|mailto:", link): continue
            target, _, place = link.partition("#")
            at = (path.parent / target).resolve() if target else path
            if target.endswith(".html"): yield f"{link}: pages have other names than notebooks; link to the .ipynb"
            elif not at.exists(): yield f"{link}: no such file"
            elif place and at.suffix in (".ipynb", ".qmd") and place.lower() not in anchors(at):
                yield f"{link}: no such place in {at.name}"

def figures(path):
    "Figures without a name or a caption"
    labels = Counter(re.findall(r"#\| label: (\S+)", "\n".join(map(source, cells(path)))))
    yield from (f"two figures are called {n}" for n, k in labels.items() if k > 1)
    for cell in cells(path):
        if not any("image/png" in o.get("data", {}) for o in cell.get("outputs", [])): continue
        start, caption = source(cell)[:60], re.search(r'^#\| fig-cap: "(.+)"$', source(cell), re.M)
        if not re.search(r"^#\| label: fig-", source(cell), re.M): yield f"a figure without a label: {start!r}"
        if not caption or len(caption[1]) < 25: yield f"a figure without a caption that says what to see: {start!r}"

def code(path):
    "Directives that nbdev left, and lines too long for a page"
    for cell in cells(path):
        names = set(re.findall(r"^#\|\s*([\w-]+)", source(cell), re.M))
        yield from (f"a directive is shown: #| {name}" for name in names - OPTIONS)
        if cell["cell_type"] == "code" and not re.search(r"^#\| echo: false", source(cell), re.M):
            yield from (f"a line of {len(l)} columns: {l.strip()[:60]!r}" for l in source(cell).splitlines()
                        if len(l) > WIDE and not l.startswith("#|"))

def tables(body):
    "Markdown that a table would show as it is"
    for row in re.findall(r"^ *\|.*$", body, re.M):
        ticked = next((c for c in CODE.findall(row) if "](" in c), None)
        if ticked: yield f"a link within code, in a table: {ticked[:60]!r}"
        elif "](" in LINK.sub("", prose(row)): yield f"half a link, in a table: {row[:60]!r}"

def raw(path):
    "What should never reach a reader, in text and in outputs"
    for cell in cells(path):
        for kind, body in shown(cell):
            start = body.strip()[:60]
            if kind == "markdown":
                if nested := NESTED.search(prose(body)): yield f"a link within a link: {nested[0]!r}"
                if re.search(r"^#\||\{\{<", prose(body), re.M): yield f"markdown with a directive: {start!r}"
                yield from tables(body)
            elif LINK.search(body): yield f"a link that is shown as it is written: {LINK.search(body)[0]!r}"
            if cell["cell_type"] == "code": yield from told(kind, body)
        for o in cell.get("outputs", []):
            if o.get("name") == "stderr" or o.get("output_type") == "error":
                yield f"a stored warning or error: {str(o.get('text', o.get('evalue')))[:80]!r}"

def told(kind, body):
    "What only the machine that ran a cell should have been told"
    start = body.strip()[:80]
    if kind == "plain" and OBJECT.match(start): yield f"an object's address, or what a plot returned: {start!r}"
    if WARNING.search(body): yield f"a stored warning or error: {start!r}"
    if PLACE.search(body): yield f"an output shows a machine's path: {PLACE.search(body)[0]!r} in {start!r}"
    if re.search(r"^note: ", body, re.M) and not body.startswith("$ "):      # a command may have notes
        yield f"an output shows a note: {start!r}"

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

def faults(path):
    for check in (broken, figures, code, raw): yield from check(path)

def check_notebooks():
    bad = [*sidebar(), *(f"{p.relative_to(PROC)}: {fault}" for p in pages() for fault in faults(p))]
    print("\n".join(bad) or f"{len(pages())} pages are as a reader should see them")
    return not bad

def said(text, name="stdout"): return dict(output_type="stream", name=name, text=[text])
def result(**data): return dict(output_type="execute_result", data={f"text/{k}": [v] for k, v in data.items()})
PICTURE = dict(output_type="display_data", data={"image/png": "", "text/plain": ["<Figure>"]})
CELLS = [("", "# A page\n\n[there](#a-page), [`f`](#a-page), `[[x](y)](z)`, and `#| export`."),
         ("", "f()", said("$ opcm_add\nnote: a command's own\n"), result(markdown="| [`f`](#a-page) | `a | b` |")),
         ("", "#| label: fig-a\n#| fig-cap: \"What there is to see in the figure\"\nplot()", PICTURE),
         ("no such file", "[there](absent.ipynb)"), ("no such place", "[there](#absent)"),
         ("other names than notebooks", "[there](page.html)"),
         ("no such file", "f()", result(markdown="see [there](absent.ipynb)")),
         ("a link within a link", "[[`f`](#a-page)](#a-page)"),
         ("a link within a link", "f()", result(markdown="| a |\n|---|\n| [[`f`](#a-page)](#a-page) |")),
         ("a link within code", "f()", result(markdown="| a |\n|---|\n| `[f](#a-page)` |")),
         ("half a link", "f()", result(markdown="| a |\n|---|\n| f](#a-page) |")),
         ("shown as it is written", "f()", said("see [there](#a-page)")),
         ("shown as it is written", "f()", result(plain="[there](#a-page)")),
         ("shown as it is written", "f()", result(html="<td>[there](#a-page)</td>", plain="there")),
         ("two figures are called fig-b", "#| label: fig-b\nf()\n#| label: fig-b"),
         ("without a label", "#| fig-cap: \"What there is to see in the figure\"\nplot()", PICTURE),
         ("without a caption", "#| label: fig-c\nplot()", PICTURE),
         ("a directive is shown", "#| export\nf()"), ("markdown with a directive", "{{< include x.md >}}"),
         ("a line of", f"f({'1' * WIDE})"),
         ("an object's address", "f()", result(plain="<object at 0x7f>")),
         ("a stored warning", "f()", said("UserWarning: old")), ("a stored warning", "f()", said("old", "stderr")),
         ("a machine's path", "f()", said("written to /tmp/abc/x")),
         ("a machine's path", "f()", result(markdown="written to /root/x")),
         ("shows a note", "f()", said("note: two sets of weights"))]

def selftest():
    "Each cell has one fault, or none, and it is found in that cell alone"
    bad = []
    with tempfile.TemporaryDirectory() as folder:
        for i, (fault, text, *outputs) in enumerate(CELLS):
            page = Path(folder) / f"{i}.ipynb"
            cell = dict(cell_type="code" if "(" in text.split("[")[0] else "markdown", source=[text], outputs=outputs)
            title = dict(cell_type="markdown", source=["# A page"])
            page.write_text(json.dumps(dict(cells=[title, cell])))
            found = list(faults(page))
            if len(found) != bool(fault) or fault not in "".join(found): bad.append(f"{text!r}: {fault!r}, not {found}")
    print("\n".join(bad) or f"{len(CELLS)} cells with and without faults are told apart")
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
def main(what:str, # notebooks, selftest or site
         folder:str="_docs", # With site: where the pages are
         pictures:str="", # With site: folder for a picture of each page
         browser:str="", # With site: the browser, if not playwright's own
        )->None:
    "Check the documentation"
    os.chdir(ROOT)
    checks = dict(notebooks=check_notebooks, selftest=selftest,
                  site=lambda: check_site(folder, pictures, browser))
    if what not in checks: sys.exit(__doc__)
    sys.exit(not checks[what]())
