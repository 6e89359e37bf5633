"""The site with pandoc in Quarto's place: python .ci/site.py build --out FOLDER

Needs the processed notebooks (python .ci/nb.py docs); python .ci/pages.py site --folder FOLDER then looks at the
pages in a browser. The workflow that publishes the site uses Quarto; this is for machines that have pandoc, and
does as much of Quarto's markdown, cell options and layout as shows what a reader will see. In .ci/site are the
template of a page, the filter that reads cells as Quarto does, and the two themes.
"""
import json, os, re, shutil, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import yaml
from fastcore.script import call_parse

ROOT = Path(__file__).resolve().parent.parent
PROC, SITE = ROOT / "_proc", ROOT / ".ci" / "site"

@cache
def markdown():
    "The markdown that Quarto reads here; a line `---` in a cell is a rule, not metadata"
    return yaml.safe_load((PROC / "_quarto.yml").read_text())["format"]["html"]["from"] + "-yaml_metadata_block"

@cache
def reader():
    "Notebooks whose text is that markdown"
    extensions = subprocess.check_output(["pandoc", "--list-extensions=markdown"], text=True).split()
    return "ipynb" + "".join(extensions) + markdown().removeprefix("markdown")

@cache
def config():
    "What nbs/_quarto.yml and the files that it names say of the website"
    files = [PROC / n for n in ("_quarto.yml", "nbdev.yml", "sidebar.yml")]
    site = {}
    for part in (yaml.safe_load(f.read_text())["website"] for f in files):
        for key, value in part.items():
            site[key] = site[key] | value if isinstance(value, dict) and key in site else value
    return site

@cache
def notebook(page):
    "A page's notebook as pandoc takes it: results have numbers, a .qmd is one cell of text"
    text = (PROC / page).read_text()
    if page.endswith(".ipynb"):
        nb = json.loads(text)
        for o in (o for cell in nb["cells"] for o in cell.get("outputs", [])):
            if o["output_type"] == "execute_result": o["execution_count"] = 0
        return nb
    text = re.sub(r"\{\{< include (\S+) >\}\}", lambda m: (PROC / m[1]).read_text(), text)
    title, _, text = text.removeprefix("# ").partition("\n")
    head = yaml.safe_dump({"title": title, "output-file": f"{Path(page).stem}.html"})
    cells = [dict(cell_type=kind, metadata={}, source=source)
             for kind, source in (("raw", f"---\n{head}---\n"), ("markdown", text))]
    return dict(cells=cells, metadata={}, nbformat=4, nbformat_minor=5)

@cache
def head(page):
    "Title, description and output-file, as nbdev wrote them into the first cell"
    return yaml.safe_load("".join(notebook(page)["cells"][0]["source"]).strip().strip("-"))

def address(page): return str(Path(page).with_name(head(page)["output-file"]))

def entries(items, indent=""):
    "The sidebar as a list in markdown; sections open and close"
    for item in items:
        if isinstance(item, str): yield f"{indent}- [{head(item)['title']}](/{item})"
        else:
            yield f"{indent}- <details><summary>{item['section']}</summary>\n"
            yield from entries(item["contents"], indent + "    ")
            yield f"\n{indent}    </details>"

def pages(items):
    for item in items:
        if isinstance(item, str): yield item
        else: yield from pages(item["contents"])

def frame(listed):
    "What is the same on every page"
    links = [f"- [{item['text']}](/{item['href']})" for item in config()["navbar"]["left"]]
    return dict(site=config()["title"], navbar="\n".join(links) + "\n", addresses={p: address(p) for p in listed},
                sidebar="\n".join(entries(config()["sidebar"]["contents"])) + "\n")

def render(page, out, metadata):
    "One page; pandoc's complaints are the caller's"
    at = out / address(page)
    at.parent.mkdir(parents=True, exist_ok=True)
    command = ["pandoc", "--from", reader(), "--to", "html5", "--mathml", "--toc", "--standalone", "--wrap=preserve",
               "--template", SITE / "page.html", "--lua-filter", SITE / "cells.lua", "--metadata-file", metadata,
               "--metadata", f"page={page}", "--metadata", f"root={'../' * page.count('/')}",
               "--metadata", f"markdown={markdown()}",
               "--ipynb-output=all", "--extract-media", f"{at.stem}_files", "--output", at.name]
    made = subprocess.run(command, input=json.dumps(notebook(page)), text=True, capture_output=True, cwd=at.parent)
    return "".join(f"{page}: {line}\n" for line in made.stderr.splitlines())

def build(out):
    "Every page of the sidebar, as many at a time as there are cores; whether pandoc had nothing to say"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    listed = list(pages(config()["sidebar"]["contents"]))
    metadata = out / "frame.yml"
    metadata.write_text(yaml.safe_dump(frame(listed), allow_unicode=True))
    for style in (SITE / "themes.css", PROC / "styles.css"): shutil.copy(style, out)
    if (PROC / "images").exists(): shutil.copytree(PROC / "images", out / "images")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        said = "".join(pool.map(lambda page: render(page, out, metadata), listed))
    metadata.unlink()
    print(said or f"{len(listed)} pages in {out}")
    return not said

@call_parse
def main(verb:str, # build
         out:str="_docs", # Folder for the pages; what is there is replaced
        )->None:
    "Build the site with pandoc"
    if verb != "build": sys.exit(__doc__)
    sys.exit(not build(Path(out).resolve()))
