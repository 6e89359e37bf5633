"""The documentation as a reader meets it

notebooks            what the processed notebooks (python .ci/nb.py docs) will show: links, figures, tables,
                     directives, outputs
selftest             a made-up page with each fault that `notebooks` looks for, and with --browser each of `site`:
                     is it found?
site                 the rendered pages in a real browser, light and dark, at the width of a desk and of a phone
                     (--folder says where; --pictures FOLDER keeps a picture of each; --browser PATH names the browser)
"""
import io, json, os, re, sys, tempfile
from base64 import b64decode, b64encode
from collections import Counter
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import yaml
from fastcore.script import call_parse
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PROC = ROOT / "_proc"
WIDE = 130                                                # columns of code; what is longer has no place to break
OPTIONS = {"label", "fig-cap", "echo", "output", "eval", "code-fold", "code-summary"}
CODE = re.compile(r"```.*?```|``[^`]+``|`[^`\n]*`", re.S)
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+(?:\([^()]*\)[^()\s]*)?)\)")
NESTED = re.compile(r"\[\[[^\]]*\]\([^)]*\)[^\]]*\]\(")
WARNING = re.compile(r"\w*Warning: |Traceback \(most recent")
PLACE = re.compile(r"/(?:home|root|tmp|work|Users|usr/lib|opt)/")
OBJECT = re.compile(r"[\[(]*(<[\w.]+[ >]|np\.float)|[\s\S]*<[\w. ]+ at 0x")     # an object's address, or what a plot returned

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

def blank(png):
    "Whether a picture has one colour only"
    extremes = Image.open(io.BytesIO(b64decode("".join(png)))).convert("RGB").getextrema()
    return all(low == high for low, high in extremes)

def figures(path):
    "Figures without a name, a caption or a picture"
    labels = Counter(re.findall(r"#\| label: (\S+)", "\n".join(map(source, cells(path)))))
    yield from (f"two figures are called {n}" for n, k in labels.items() if k > 1)
    for cell in cells(path):
        start, caption = source(cell)[:60], re.search(r'^#\| fig-cap: "(.+)"$', source(cell), re.M)
        label = re.search(r"^#\| label: fig-", source(cell), re.M)
        pictures = [o["data"]["image/png"] for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
        if (label or caption) and not pictures: yield f"a figure without a picture: {start!r}"
        if any(map(blank, pictures)): yield f"an empty picture: {start!r}"
        if pictures and not label: yield f"a figure without a label: {start!r}"
        if pictures and len(caption[1] if caption else "") < 25:
            yield f"a figure without a caption that says what to see: {start!r}"

def code(path):
    "Directives that nbdev left, cells that show nothing, and lines too long for a page"
    for cell in cells(path):
        if re.search(r"^#\| echo: false", source(cell), re.M) and not cell["outputs"]:
            yield f"a cell that shows neither code nor result: {source(cell)[:60]!r}"
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
            if "Call self as a function" in body: yield f"a function without a docstring: {source(cell)[-60:]!r}"
            if cell["cell_type"] == "code": yield from told(kind, body)
        for o in cell.get("outputs", []):
            if o.get("name") == "stderr" or o.get("output_type") == "error":
                yield f"a stored warning or error: {str(o.get('text', o.get('evalue')))[:80]!r}"

def told(kind, body):
    "What only the machine that ran a cell should have been told"
    start = body.strip()[:80]
    if kind == "plain" and OBJECT.match(body.strip()): yield f"an object's address, or what a plot returned: {start!r}"
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
def picture(*colours):
    "A plot of one pixel in each colour"
    (image := Image.new("RGB", (len(colours), 1))).putdata(colours)
    image.save(file := io.BytesIO(), "png")
    png = b64encode(file.getvalue()).decode()
    return dict(output_type="display_data", data={"image/png": [png], "text/plain": ["<Figure>"]})

PICTURE = picture((0, 0, 0), (255, 255, 255))
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
         ("two figures are called fig-b", "#| label: fig-b\n#| fig-cap: \"What there is to see in the figure\"\nf()\n#| label: fig-b", PICTURE),
         ("a figure without a picture", "#| label: fig-d\nplot()"),
         ("an empty picture", "#| label: fig-e\n#| fig-cap: \"What there is to see in the figure\"\nplot()", picture((255, 255, 255))),
         ("without a docstring", "f()", result(markdown="*Call self as a function.*")),
         ("neither code nor result", "#| echo: false\nf()"),
         ("without a label", "#| fig-cap: \"What there is to see in the figure\"\nplot()", PICTURE),
         ("without a caption", "#| label: fig-c\nplot()", PICTURE),
         ("a directive is shown", "#| export\nf()"), ("markdown with a directive", "{{< include x.md >}}"),
         ("a line of", f"f({'1' * WIDE})"),
         ("an object's address", "f()", result(plain="<object at 0x7f>")),
         ("an object's address", "f()", said("a line, then [<a.B object at 0x7f>]\n")),
         ("a stored warning", "f()", said("UserWarning: old")), ("a stored warning", "f()", said("old", "stderr")),
         ("a machine's path", "f()", said("written to /tmp/abc/x")),
         ("a machine's path", "f()", result(markdown="written to /root/x")),
         ("shows a note", "f()", said("note: two sets of weights"))]

def told_apart(found, wanted):
    "Faults that were not found, or found where there are none; each place has one fault or none"
    return [f"{place}: {wanted[place]!r}, not {faults}" for place, faults in found.items()
            if len(faults) != bool(wanted[place]) or wanted[place] not in "".join(faults)]

def notebooks_selftest(folder):
    wanted, found = {}, {}
    for i, (fault, text, *outputs) in enumerate(CELLS):
        page = folder / f"{i}.ipynb"
        cell = dict(cell_type="code" if "(" in text.split("[")[0] else "markdown", source=[text], outputs=outputs)
        title = dict(cell_type="markdown", source=["# A page"])
        page.write_text(json.dumps(dict(cells=[title, cell])))
        wanted[text], found[text] = fault, list(faults(page))
    return told_apart(found, wanted)

SEEN = (ROOT / ".ci/site/seen.js").read_text()
VIEWS = [(width, theme) for width in (1280, 390) for theme in ("light", "dark")]
TOGGLE = """theme => window.quartoToggleColorScheme && !document.body.classList.contains("quarto-" + theme)
                     && window.quartoToggleColorScheme()"""

def looked_at(page, path, picture):
    "Each fault of a page with the views that have it, and the page's links"
    found = {}
    complain = lambda error: found.setdefault(f"the browser says: {error}", [])
    page.on("pageerror", complain)
    page.goto(path.as_uri(), wait_until="load")
    for width, theme in VIEWS:
        page.set_viewport_size(dict(width=width, height=900))
        page.emulate_media(color_scheme=theme)
        page.evaluate(TOGGLE, theme)
        for fault in page.evaluate(SEEN): found.setdefault(fault, []).append(f"{width} px {theme}")
        if picture: page.screenshot(path=f"{picture}-{width}-{theme}.png", full_page=True)
    page.remove_listener("pageerror", complain)
    where = {fault: "" if len(v) in (0, len(VIEWS)) else f" ({', '.join(v)})" for fault, v in found.items()}
    return [fault + views for fault, views in where.items()], page.evaluate(LINKS)

LINKS = "() => [...new Set([...document.querySelectorAll('a[href]')].map(a => a.href))]"

@cache
def places(path): return set(re.findall(r'\bid="([^"]+)"', path.read_text(errors="replace")))

@cache
def address(): return yaml.safe_load((ROOT / "nbs/nbdev.yml").read_text())["website"]["site-url"]

def leads_nowhere(link, folder):
    "What is wrong with a link to a page of this site, by its file or by its address on the web"
    target, _, place = unquote(link.replace(address(), folder.as_uri())).partition("#")
    if not target.startswith("file:"): return
    at = Path(target.removeprefix("file://"))
    if at.is_dir(): at /= "index.html"
    if not at.exists(): return f"leads to {at.name}, which is not there"
    if place and at.suffix == ".html" and place not in places(at): return f"leads to #{place} of {at.name}, not there"

def site_faults(folder, pictures="", browser=""):
    "Name and faults of every page"
    from playwright.sync_api import sync_playwright
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    folder = Path(folder).resolve()
    with sync_playwright() as p:
        chromium = p.chromium.launch(args=flags, executable_path=browser or None)
        page = chromium.new_page()
        for path in sorted(folder.rglob("*.html")):
            name = str(path.relative_to(folder))
            picture = pictures and Path(pictures) / name.removesuffix(".html").replace("/", "-")
            faults, links = looked_at(page, path, picture)
            yield name, faults + [fault for link in links if (fault := leads_nowhere(link, folder))]
        chromium.close()

def check_site(folder, pictures, browser):
    "Every page at two widths in two themes, and the links between pages"
    found = dict(site_faults(folder, pictures, browser))
    bad = [f"{name}: {fault}" for name, faults in found.items() for fault in faults]
    print("\n".join(bad) or f"{len(found)} pages look as they should, in two themes and at two widths")
    return bool(found) and not bad

WORD, DARK = "Unbreakable" * 20, "@media (prefers-color-scheme: dark) { body { background: #222 } }"
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
BODIES = [("", f"<h1 id=\"a\">A</h1><p><a href='#a'>a</a> <code>$$ \\frac `</code> <img src={PIXEL} alt=dot></p>"),
          ("", f"<div style='overflow-x: auto'><pre>{WORD}</pre></div>"),
          ("wider than the window", f"<p>{WORD}</p>"),
          ("wider than the window", "<p style='width: 500px'>Wide on a phone alone</p>"),
          ("cut off", f"<div style='overflow: hidden'><pre>{WORD}</pre></div>"),
          ("a picture is missing", "<p>a <img src=absent.png alt=dot></p>"),
          ("without a caption", f"<p>a <img src={PIXEL}></p>"),
          *(("as it is written", f"<p>a\n{text}</p>") for text in (
              "[f](there.html)", "{{< include x.md >}}", "#| export", "::: note", "## A heading", "**bold", "$$ x", "\\frac",
              "- a list", "| a | row |", "`code`", "–option")),
          ("hard to read", "<p style='color: #aaa'>Pale</p>"), ("hard to read", f"<style>{DARK}</style><p>Dark on dark</p>"),
          ("an empty page", ""), ("the browser says", "<p>a</p><script>absent()</script>"),
          ("leads to absent.html", "<p><a href=absent.html>a</a></p>"), ("leads to #absent", "<p><a href=0.html#absent>a</a></p>"),
          ("leads to absent.html", f"<p><a href={address()}/absent.html>a</a></p>")]

def site_selftest(folder, browser):
    for i, (_, body) in enumerate(BODIES): (folder / f"{i}.html").write_text(f"<body><main>{body}</main>")
    return told_apart(dict(site_faults(folder, browser=browser)), {f"{i}.html": f for i, (f, _) in enumerate(BODIES)})

def selftest(browser):
    "Each made-up cell, and each page if a browser is named, has one fault or none: is it found there alone?"
    with tempfile.TemporaryDirectory() as folder:
        bad = notebooks_selftest(Path(folder)) + (site_selftest(Path(folder), browser) if browser else [])
    tried = len(CELLS) + len(BODIES) * bool(browser)
    print("\n".join(bad) or f"{tried} pages and cells with and without faults are told apart")
    return not bad

@call_parse
def main(what:str, # notebooks, selftest or site
         folder:str="_docs", # With site: where the pages are
         pictures:str="", # With site: folder for a picture of each page
         browser:str="", # With site and selftest: the browser, if not playwright's own
        )->None:
    "Check the documentation"
    os.chdir(ROOT)
    checks = dict(notebooks=check_notebooks, selftest=lambda: selftest(browser),
                  site=lambda: check_site(folder, pictures, browser))
    if what not in checks: sys.exit(__doc__)
    sys.exit(not checks[what]())
